"""Publishing: stored first and in order, whatever the database does; told once each; nobody waits for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamwatch.alerts.router import NotificationRouter
from streamwatch.clock import Clock, SystemClock
from streamwatch.config.schema import Alerts
from streamwatch.detection.publisher import HANGS_AFTER_S, Publisher, Subscribers
from streamwatch.detection.recorder import MAX_TRIES
from streamwatch.detection.waiting import Publication
from streamwatch.enums import Degradation, EventType
from streamwatch.errors import AlreadyStored, LeaseLost, StoreError, StoreUnavailable
from streamwatch.evidence.collector import EventEvidence
from streamwatch.evidence.queue import MAX_WITH_PICTURES
from streamwatch.evidence.writer import EvidenceWriter
from streamwatch.metrics import Metrics
from streamwatch.records import EventChange, Notice
from streamwatch.store.event_store import EventStore, Record
from streamwatch.store.outbox.administration import OutboxAdministration
from streamwatch.store.sessions import open_database
from streamwatch.threads import ThreadGuard
from tests.evidence.test_writer import scored
from tests.store.test_event_store import ended, event
from tests.test_retry import FakeClock

WITHIN_S = 20.0


class Store:
    """A database that fails as it is told to, and remembers what it took."""

    def __init__(self, failures: Sequence[Exception | None] = (), *, unique: bool = False) -> None:
        self.failures, self.unique, self.taken = iter(failures), unique, list[str]()
        self.refused, self.refusal = set[str](), Exception()
        self.hang = threading.Event()
        self.hang.set()

    def token_of(self, _camera: str) -> int | None:
        return None

    def record_all(self, records: Sequence[Record]) -> None:
        names = [f"{item.id if isinstance(item, Notice) else item.event.id} {item.type}" for item, _ in records]
        assert self.hang.wait(WITHIN_S)
        if self.unique and not set(names).isdisjoint(self.taken):
            raise AlreadyStored("it is already stored")
        failure = next(self.failures, None)
        if failure is None and self.refused.intersection(names):
            failure = self.refusal
        if failure is None or isinstance(failure, _AnswerLost):
            self.taken += names
        if failure is not None:
            raise failure


class _AnswerLost(StoreUnavailable):
    """The transaction went through, and nobody was told."""


class Desk:
    """A publisher and who hears of it."""

    def __init__(
        self,
        folder: Path,
        store: Store,
        clock: Clock | None = None,
        max_waiting: int = 100_000,
        subscribers: Subscribers | None = None,
        *,
        recordings: bool = False,
    ) -> None:
        self.told, self.given_up = list[str](), list[int]()
        self.degraded: list[tuple[Degradation, bool]] = []
        self.metrics = Metrics()
        listening = Subscribers(
            (lambda change, _path: self.told.append(f"{change.event.id} {change.type}"),),
            (lambda notice: self.told.append(f"{notice.id} {notice.type}"),),
        )
        self.stuck: list[Degradation] = []
        self.writer = EvidenceWriter(folder, lossless=recordings, on_given_up=self.given_up.append)
        self.publisher = Publisher(
            store,
            self.writer,
            subscribers=subscribers or listening,
            metrics=self.metrics,
            clock=clock or SystemClock(),
            on_degraded=lambda what, active: self.degraded.append((what, active)),
            on_stuck=self.stuck.append,
            max_waiting=max_waiting,
        )

    def happens(self, count: int) -> list[str]:
        """So many events start and end, with a notice between; what is to be stored, in order."""
        expected = []
        for number in range(count):
            opened = replace(event(), id=f"event-{number}")
            notice = Notice(f"notice-{number}", EventType.CAMERA_ONLINE, "cam", 0.0)
            items: list[EventChange | Notice] = [
                EventChange(EventType.ANOMALY_STARTED, opened, 0.0),
                notice,
                EventChange(EventType.ANOMALY_ENDED, ended(opened), 0.0),
            ]
            for item in items:
                self.publisher.publish(Publication(item))
                name = item.id if isinstance(item, Notice) else item.event.id
                expected.append(f"{name} {item.type}")
        return expected


def wait_until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


def test_one_that_is_refused_keeps_none_of_those_around_it_from_being_stored(tmp_path: Path) -> None:
    store = Store()
    desk = Desk(tmp_path, store)
    expected = desk.happens(4)
    store.refused, store.refusal = {expected[5]}, LeaseLost("another process watches this camera now")
    desk.publisher.start(ThreadGuard(FakeClock()))
    assert desk.publisher.stop(WITHIN_S)
    assert store.taken == desk.told == [name for name in expected if name != expected[5]]
    assert dropped(desk) == 0, "it is another process's to tell"


class AnswersLost(EventStore):
    """The transaction goes through, and the first few times nobody is told."""

    answers = 0

    def record_all(self, records: Sequence[Record]) -> None:
        super().record_all(records)
        self.answers += 1
        if self.answers <= 3:
            raise StoreUnavailable("the server is gone")


def test_an_answer_that_was_lost_has_nobody_told_twice(tmp_path: Path) -> None:
    database = open_database(None, tmp_path)
    alerts = Alerts.model_validate({"webhooks": [{"name": "ops", "url": "http://127.0.0.1:9/", "events": ["*"]}]})
    store = AnswersLost(database, NotificationRouter(alerts, SystemClock()))
    writer = EvidenceWriter(tmp_path, lossless=False)
    publisher = Publisher(store, writer, subscribers=Subscribers(), metrics=Metrics(), clock=FakeClock())
    opened = [event(100.0 + number) for number in range(3)]
    for one in opened:
        publisher.publish(Publication(EventChange(EventType.ANOMALY_STARTED, one, 0.0)))
    publisher.start(ThreadGuard(FakeClock()))
    wait_until(lambda: len(store.list_events()) == 3)
    for one in opened:
        publisher.publish(Publication(EventChange(EventType.ANOMALY_UPDATED, one, 1.0)))
        publisher.publish(Publication(EventChange(EventType.ANOMALY_ENDED, ended(one), 2.0)))
    assert publisher.stop(WITHIN_S)
    told = [(message.subject, message.type.rpartition(".")[2]) for message in OutboxAdministration(database).list_messages()]
    assert sorted(told) == sorted((one.id, kind) for one in opened for kind in ("started", "updated", "ended"))
    database.dispose()


TROUBLES = st.lists(st.sampled_from([None, StoreUnavailable("locked"), _AnswerLost("lost")]), max_size=30)


@given(TROUBLES, st.integers(1, 4))
def test_whatever_passes_is_stored_once_in_order_and_told_once(troubles: list[Exception | None], count: int) -> None:
    store = Store(troubles, unique=True)
    desk = Desk(Path("/nowhere"), store, clock=FakeClock())
    expected = desk.happens(count)
    desk.publisher.start(ThreadGuard(SystemClock()))
    assert desk.publisher.stop(WITHIN_S)
    assert store.taken == expected
    assert desk.told == expected


def test_a_database_that_hangs_holds_up_nobody_and_everything_comes_afterwards(tmp_path: Path) -> None:
    store = Store()
    store.hang.clear()
    desk = Desk(tmp_path, store)
    desk.publisher.start(ThreadGuard(SystemClock()))
    began_s = time.monotonic()
    expected = desk.happens(200)
    assert time.monotonic() - began_s < 2.0
    assert store.taken == []
    store.hang.set()
    assert desk.publisher.stop(WITHIN_S)
    assert store.taken == desk.told == expected


def test_what_waits_is_told_as_degraded_and_over(tmp_path: Path) -> None:
    store = Store([StoreUnavailable("locked"), None])
    desk = Desk(tmp_path, store, clock=FakeClock())
    desk.happens(1)
    desk.publisher.start(ThreadGuard(SystemClock()))
    assert desk.publisher.stop(WITHIN_S)
    assert desk.degraded[0] == (Degradation.STORE_WAITS, True)
    assert desk.degraded[-1] == (Degradation.STORE_WAITS, False)


def test_of_recordings_a_refusal_for_good_is_raised_by_who_waits_and_nobody_is_told(tmp_path: Path) -> None:
    desk = Desk(tmp_path, Store([StoreError("no such table")] * 2), recordings=True)
    desk.happens(1)
    desk.publisher.start(ThreadGuard(SystemClock()))
    assert desk.publisher.failed.wait(WITHIN_S)
    assert not desk.publisher.stop(WITHIN_S)
    assert isinstance(desk.publisher.failure, StoreError)
    assert desk.told == []


def test_a_database_that_never_answers_is_given_up_at_the_end_and_it_is_said(tmp_path: Path) -> None:
    store = Store()
    store.hang.clear()
    desk = Desk(tmp_path, store)
    desk.happens(1)
    desk.publisher.start(ThreadGuard(SystemClock()))
    assert not desk.publisher.stop(0.2)
    store.hang.set()


def test_a_daemon_outlives_a_refusal_for_good_and_tries_again(tmp_path: Path) -> None:
    """The table may have been restored: nothing that happened is lost."""
    store = Store([StoreError("no such table")] * 5)
    desk = Desk(tmp_path, store, clock=FakeClock())
    expected = desk.happens(2)
    desk.publisher.start(ThreadGuard(FakeClock()))
    assert desk.publisher.stop(WITHIN_S)
    assert store.taken == desk.told == expected
    assert not desk.publisher.failed.is_set()


def test_of_recordings_more_than_may_wait_is_a_failure(tmp_path: Path) -> None:
    desk = Desk(tmp_path, Store(), max_waiting=5, recordings=True)
    desk.happens(2)
    assert isinstance(desk.publisher.failure, StoreError)
    assert desk.publisher.failed.is_set()


def dropped(desk: Desk) -> float:
    return float(desk.metrics.registry.get_sample_value("streamwatch_changes_dropped_total") or 0.0)


def test_of_a_daemon_the_newest_of_what_may_wait_is_kept_and_the_loss_told_past_the_database(tmp_path: Path) -> None:
    store = Store()
    desk = Desk(tmp_path, store, max_waiting=5)
    expected = desk.happens(4)
    assert desk.stuck == [Degradation.CHANGES_LOST]
    assert dropped(desk) == 12 - 5
    desk.publisher.start(ThreadGuard(SystemClock()))
    assert desk.publisher.stop(WITHIN_S)
    assert store.taken == desk.told == [expected[0], *expected[-4:]]  # the oldest may have been on its way
    assert (Degradation.CHANGES_LOST, False) in desk.degraded


def test_updates_are_lost_before_starts_and_ends(tmp_path: Path) -> None:
    store, opened = Store(), event()
    desk = Desk(tmp_path, store, max_waiting=3)
    for kind in (EventType.ANOMALY_STARTED, EventType.ANOMALY_ENDED, EventType.ANOMALY_UPDATED, EventType.ANOMALY_STARTED):
        desk.publisher.publish(Publication(EventChange(kind, opened, 0.0)))
    desk.publisher.publish_waiting()
    assert [name.split()[1] for name in store.taken] == ["anomaly.started", "anomaly.ended", "anomaly.started"]


def test_a_change_that_a_fault_of_ours_keeps_from_being_stored_is_given_up_for_those_behind_it(tmp_path: Path) -> None:
    store, faults = Store(), list[str]()
    desk = Desk(tmp_path, store)
    expected = desk.happens(2)
    store.refused, store.refusal = {expected[0]}, TypeError("of ours")
    desk.publisher.start(ThreadGuard(FakeClock(), on_fault=faults.append))
    assert desk.publisher.stop(WITHIN_S)
    assert store.taken == desk.told == expected[1:]
    assert faults == ["publisher"] * (MAX_TRIES - 1)
    assert dropped(desk) == 1


def test_evidence_is_written_after_the_event_is_stored(tmp_path: Path) -> None:
    store = Store([StoreUnavailable("locked")])
    desk = Desk(tmp_path, store)
    opened = event()
    desk.publisher.publish(Publication(EventChange(EventType.ANOMALY_STARTED, opened, 0.0), EventEvidence(opened)))
    with pytest.raises(StoreUnavailable):
        desk.publisher.publish_waiting()
    assert desk.writer.waiting() == 0
    desk.publisher.publish_waiting()
    assert desk.writer.waiting() == 1


def test_while_the_database_is_away_every_change_waits_and_the_pictures_of_the_newest(tmp_path: Path) -> None:
    store = Store()
    desk = Desk(tmp_path, store)
    shown = scored(11, 20)
    for number in range(2 * MAX_WITH_PICTURES):
        opened = replace(event(), id=f"event-{number}")
        change = EventChange(EventType.ANOMALY_STARTED, opened, 0.0)
        desk.publisher.publish(Publication(change, EventEvidence(opened, start=shown)))
    assert sum(desk.given_up) == MAX_WITH_PICTURES
    desk.publisher.publish_waiting()
    assert len(store.taken) == 2 * MAX_WITH_PICTURES
    desk.writer.write_all()
    kept = {path.stem for path in (tmp_path / "starts").iterdir()}
    assert kept == {f"event-{number}" for number in range(MAX_WITH_PICTURES, 2 * MAX_WITH_PICTURES)}


def breaks(*_: object) -> None:
    raise BrokenPipeError("nobody reads")


def test_a_subscriber_that_fails_ends_nothing_of_a_daemon(tmp_path: Path) -> None:
    store = Store()
    desk = Desk(tmp_path, store, subscribers=Subscribers((breaks,), (breaks,)))
    desk.publisher.start(ThreadGuard(SystemClock()))
    expected = desk.happens(5)
    assert desk.publisher.stop(WITHIN_S)
    assert store.taken == expected


def test_a_subscriber_that_fails_ends_a_recordings_run_and_everything_is_stored(tmp_path: Path) -> None:
    store = Store()
    desk = Desk(tmp_path, store, subscribers=Subscribers((breaks,), (breaks,)), recordings=True)
    desk.publisher.start(ThreadGuard(SystemClock()))
    expected = desk.happens(5)
    assert desk.publisher.failed.wait(WITHIN_S)
    expected += desk.happens(1)
    assert not desk.publisher.stop(WITHIN_S)
    assert isinstance(desk.publisher.failure, BrokenPipeError)
    assert store.taken == expected


def test_a_database_that_hangs_is_told_though_it_refuses_nothing(tmp_path: Path) -> None:
    clock, store = FakeClock(), Store()
    desk = Desk(tmp_path, store, clock=clock)
    desk.happens(1)
    desk.publisher.check_progress()
    assert desk.degraded == []
    clock.now_s += HANGS_AFTER_S + 1
    for _ in range(3):
        desk.publisher.check_progress()
    assert desk.stuck == [Degradation.STORE_WAITS]
    desk.publisher.start(ThreadGuard(SystemClock()))
    assert desk.publisher.stop(WITHIN_S)
    assert desk.degraded[-1] == (Degradation.STORE_WAITS, False)
