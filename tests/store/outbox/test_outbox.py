"""The outbox: order within an event, leases that end, results all or none, endpoints that are switched off."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine

from streamwatch.enums import EventType, MessageState
from streamwatch.errors import StoreError, UsageError
from streamwatch.records import EventChange
from streamwatch.store.event_store import EventStore
from streamwatch.store.outbox.administration import OutboxAdministration
from streamwatch.store.outbox.leases import Outbox
from streamwatch.store.outbox.messages import Depth, Message, NewMessage, Settlement
from tests.databases import OpenDatabase
from tests.store.test_event_store import event


@pytest.fixture
def engine(open_store_database: OpenDatabase) -> Iterator[Engine]:
    engine = open_store_database()
    yield engine
    engine.dispose()


@pytest.fixture
def outbox(engine: Engine) -> Outbox:
    return Outbox(engine)


@pytest.fixture
def administration(engine: Engine) -> OutboxAdministration:
    return OutboxAdministration(engine)


def message(name: str, subject: str = "e1", endpoint: str = "ops", at_s: float = 100.0) -> NewMessage:
    return NewMessage(name, endpoint, subject, "anomaly.started", "cam", {"name": name}, at_s)


def leased(outbox: Outbox, at_s: float = 100.0, endpoint: str = "ops", limit: int = 10) -> list[Message]:
    return outbox.lease(endpoint, now_s=at_s, until_s=at_s + 30, limit=limit)


def names(messages: list[Message]) -> list[str]:
    return [m.content["name"] for m in messages]


def settled(m: Message, state: MessageState, at_s: float = 101.0, due_s: float = 0.0, disable: str | None = None) -> Settlement:
    return Settlement(m.number, state, at_s, 0.1, due_s, 200, None, m.endpoint, disable)


def test_of_an_event_one_message_at_a_time_and_in_order(outbox: Outbox) -> None:
    outbox.put([message("a1"), message("a2"), message("b1", "e2")])
    first = leased(outbox)
    assert names(first) == ["a1", "b1"]
    assert leased(outbox) == []
    outbox.settle([settled(m, MessageState.DELIVERED) for m in first])
    assert names(leased(outbox, 102)) == ["a2"]


def test_no_two_senders_lease_the_same_message(open_store_database: OpenDatabase) -> None:
    engines = [open_store_database() for _ in range(4)]
    Outbox(engines[0]).put([message(f"m{n}", f"e{n}") for n in range(120)])

    def drain(engine: Engine) -> list[int]:
        taken: list[int] = []
        while found := Outbox(engine).lease("ops", now_s=100, until_s=1000, limit=3):
            taken += [m.number for m in found]
        return taken

    with ThreadPoolExecutor(len(engines)) as pool:
        taken = [number for numbers in pool.map(drain, engines) for number in numbers]
    for engine in engines:
        engine.dispose()
    assert len(taken) == len(set(taken)) == 120


def test_a_lease_ends_by_itself(outbox: Outbox) -> None:
    outbox.put([message("a1")])
    assert names(leased(outbox, 100)) == ["a1"]
    assert leased(outbox, 129) == []
    assert names(leased(outbox, 131)) == ["a1"]


def test_what_is_given_back_is_leased_at_once(outbox: Outbox) -> None:
    outbox.put([message("a1")])
    (held,) = leased(outbox)
    outbox.release([held.number])
    assert names(leased(outbox)) == ["a1"]


def test_a_failed_message_holds_its_event_back_and_no_other(outbox: Outbox) -> None:
    outbox.put([message("a1"), message("a2"), message("b1", "e2"), message("b2", "e2")])
    a1, b1 = leased(outbox)
    outbox.settle([settled(a1, MessageState.PENDING, due_s=500), settled(b1, MessageState.DELIVERED)])
    (b2,) = leased(outbox, 102)
    assert names([b2]) == ["b2"]
    outbox.settle([settled(b2, MessageState.DELIVERED)])
    (again,) = leased(outbox, 501)
    assert (names([again]), again.attempts) == (["a1"], 1)


def test_what_follows_a_dead_letter_goes_out_marked(outbox: Outbox, administration: OutboxAdministration) -> None:
    outbox.put([message("a1"), message("a2")])
    (a1,) = leased(outbox)
    outbox.settle([settled(a1, MessageState.DEAD)])
    (a2,) = leased(outbox, 102)
    assert (a1.earlier_dead, a2.earlier_dead) == (False, True)
    assert administration.replay([a1.number], now_s=103) == 1
    assert administration.find(a1.number).state == MessageState.PENDING


def test_an_endpoint_that_is_gone_gets_nothing_until_it_is_switched_on(
    outbox: Outbox, administration: OutboxAdministration
) -> None:
    outbox.put([message("a1"), message("a1", endpoint="other"), message("b1", "e2")])
    (a1, _) = leased(outbox)
    outbox.settle([settled(a1, MessageState.PENDING, due_s=101, disable="it answered 410 Gone")])
    assert administration.disabled() == {"ops": "it answered 410 Gone"}
    assert leased(outbox, 900) == []
    assert names(leased(outbox, 900, "other")) == ["a1"]
    assert administration.enable("ops")
    assert not administration.enable("ops")
    assert sorted(names(leased(outbox, 900))) == ["a1", "b1"]


def test_depths_and_attempts_are_told(outbox: Outbox, administration: OutboxAdministration) -> None:
    outbox.put([message("a1", at_s=50), message("b1", "e2", at_s=60), message("c1", "e3", at_s=70)])
    a1, b1, _ = leased(outbox)
    outbox.settle([settled(a1, MessageState.DELIVERED), settled(b1, MessageState.DEAD)])
    assert administration.depths() == {"ops": Depth(1, 70, 1)}
    (attempt,) = administration.attempts_of(a1.number)
    assert (attempt.at_wall_s, attempt.status, attempt.latency_s) == (101.0, 200, 0.1)
    assert names(administration.list_messages(state=MessageState.DEAD)) == ["b1"]
    with pytest.raises(UsageError, match="no message 999"):
        administration.find(999)


def test_only_what_was_delivered_is_forgotten(outbox: Outbox, administration: OutboxAdministration) -> None:
    outbox.put([message("a1"), message("b1", "e2"), message("c1", "e3")])
    a1, b1, _ = leased(outbox)
    outbox.settle([settled(a1, MessageState.DELIVERED), settled(b1, MessageState.DEAD)])
    assert administration.forget_delivered(before_s=101, limit=10) == 0
    assert administration.forget_delivered(before_s=102, limit=10) == 1
    assert names(administration.list_messages()) == ["c1", "b1"]
    assert administration.attempts_of(a1.number) == []


def test_of_heartbeats_only_the_newest_waits(outbox: Outbox) -> None:
    for number in range(3):
        outbox.put_heartbeat(NewMessage(f"h{number}", "ops", "beat", "system.heartbeat", "", {"name": f"h{number}"}, number))
    outbox.put([message("a1")])
    assert sorted(names(leased(outbox))) == ["a1", "h2"]


class OnePlan:
    """Tells one endpoint of everything, with an id that it has used before."""

    def of_change(self, change: EventChange) -> list[NewMessage]:
        return [message("same", change.event.id)]

    def of_notice(self, notice: object) -> list[NewMessage]:
        return []


def test_an_event_and_its_messages_are_written_together_or_not_at_all(
    engine: Engine, outbox: Outbox, administration: OutboxAdministration
) -> None:
    store = EventStore(engine, OnePlan())
    first, second = event(100), event(200)
    store.record(EventChange(EventType.ANOMALY_STARTED, first, 101))
    with pytest.raises(StoreError):
        store.record(EventChange(EventType.ANOMALY_STARTED, second, 201))  # its message's id is there already
    assert [e.id for e in store.list_events()] == [first.id]
    assert [m.subject for m in administration.list_messages()] == [first.id]
