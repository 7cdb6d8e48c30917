"""Delivery against a receiver that does everything wrong: at least once, in order, nothing lost, others undisturbed."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook as Verifier

from streamwatch.alerts.endpoints import sender_of
from streamwatch.alerts.flood import TokenBucket
from streamwatch.alerts.retry_schedule import SCHEDULE_S
from streamwatch.alerts.sender import Attempted, EndpointSender, run_all
from streamwatch.alerts.webhook import DeliveryResult
from streamwatch.clock import Clock, SystemClock
from streamwatch.config.schema import Webhook
from streamwatch.enums import MessageState
from streamwatch.store.outbox.administration import OutboxAdministration
from streamwatch.store.outbox.leases import Outbox
from streamwatch.store.outbox.messages import Message, NewMessage
from streamwatch.store.sessions import open_database
from streamwatch.threads import ThreadGuard
from tests.test_retry import FakeClock
from tools.receiver import Answer, Receiver, garbage, reset, running_receiver, silence, status, trickle, trickle_headers

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
TIMEOUT_S = 0.3


class HurriedClock(FakeClock):
    """Its wall time is what a test says; its monotonic time goes by, for what takes time."""

    def monotonic_s(self) -> float:
        return time.monotonic()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running_receiver() as receiver:
        yield receiver


class Faulty:
    """A transport with a fault of ours in its first attempt."""

    def __init__(self, kind: type[Exception]) -> None:
        self.kind, self.sent = kind, list[str]()

    def send(self, message: Message) -> DeliveryResult:
        self.sent.append(message.subject)
        if len(self.sent) == 1:
            raise self.kind("of ours")
        return DeliveryResult(True, 200)

    def close(self) -> None: ...

    def announce(self, cameras: Sequence[str]) -> None: ...


class Desk:
    """An outbox with one endpoint, and a clock that a test sets forward."""

    def __init__(self, folder: Path, url: str, **options: Any) -> None:
        self.clock = HurriedClock()
        self.clock.now_s = time.time() - 1e9
        engine = open_database(None, folder)
        self.outbox, self.administration = Outbox(engine), OutboxAdministration(engine)
        self.attempts: list[Attempted] = []
        settings = {"name": "ops", "url": url, "secret": SECRET, "timeout": f"{round(1000 * TIMEOUT_S)}ms", **options}
        self.sender = self.sender_of(settings, self.clock)

    def sender_of(self, settings: dict[str, Any], clock: Clock) -> EndpointSender:
        return sender_of(Webhook.model_validate(settings), self.outbox, clock, self.attempts.append)

    def put(self, *subjects: str, endpoint: str = "ops") -> None:
        now_s = self.clock.wall_s()
        self.outbox.put([
            NewMessage(
                f"{endpoint}-{subject}-{n}", endpoint, subject, "anomaly.started", "cam",
                {"time": "2026-01-01T00:00:00.000Z", "n": n}, now_s,
            )
            for n, subject in enumerate(subjects)
        ])  # fmt: skip

    def run(self, *, rounds: int = 1, apart_s: float = 0.0) -> None:
        for _ in range(rounds):
            self.sender.run_once()
            self.clock.now_s += apart_s

    @property
    def states(self) -> list[str]:
        return [m.state for m in reversed(self.administration.list_messages())]

    def close(self) -> None:
        self.sender.close()


@pytest.fixture
def desk(tmp_path: Path, receiver: Receiver) -> Iterator[Desk]:
    desk = Desk(tmp_path, receiver.url)
    yield desk
    desk.close()


@pytest.mark.parametrize(
    "answer",
    [status(500), status(429), status(404), status(301, {"location": "http://127.0.0.1:1/"}), reset, garbage, silence(1.0)],
    ids=["500", "429", "404", "301", "reset", "garbage", "time-out"],
)
def test_what_was_not_taken_is_sent_again_with_the_same_id(desk: Desk, receiver: Receiver, answer: Answer) -> None:
    receiver.answers = [answer]
    desk.put("e1")
    desk.run()
    assert desk.states == [MessageState.PENDING]
    desk.run()
    assert len(receiver.received) == 1, "not before it is due"
    desk.clock.now_s += 7
    desk.run()
    assert desk.states == [MessageState.DELIVERED]
    assert [r.message_id for r in receiver.received] == ["ops-e1-0"] * 2
    assert [a.result for a in desk.attempts] == ["failed", "delivered"]
    for request in receiver.received:
        Verifier(SECRET).verify(request.body, dict(request.headers))
    error = desk.administration.attempts_of(1)[0].error
    assert error
    assert receiver.url not in error


def test_a_body_that_trickles_is_not_waited_for(desk: Desk, receiver: Receiver) -> None:
    receiver.answers = [trickle]
    desk.put("e1")
    began_s = time.monotonic()
    desk.run()
    assert desk.states == [MessageState.DELIVERED]
    assert time.monotonic() - began_s < 3 * TIMEOUT_S


def test_an_attempt_ends_by_its_deadline_though_headers_trickle(desk: Desk, receiver: Receiver) -> None:
    receiver.answers = [trickle_headers] * 2
    desk.put("e1", "e2")
    began_s = time.monotonic()
    desk.run()
    assert time.monotonic() - began_s < 3 * TIMEOUT_S
    assert desk.states == [MessageState.PENDING] * 2
    assert "ReadTimeout" in str(desk.administration.find(1).last_error)


def test_what_is_not_begun_when_it_stops_is_given_back_at_once(tmp_path: Path, receiver: Receiver) -> None:
    desk, stop = Desk(tmp_path, receiver.url, concurrency=1), threading.Event()
    receiver.default = silence(0.2)
    desk.put("e1", "e2", "e3", "e4")
    thread = threading.Thread(target=desk.sender.run, args=(stop,))
    thread.start()
    while not receiver.received:
        time.sleep(0.01)
    stop.set()
    thread.join()
    assert len(receiver.received) < 4
    now_s = desk.clock.wall_s()
    free = desk.outbox.lease("ops", now_s=now_s, until_s=now_s + 60, limit=10)
    assert len(free) == 4 - len(receiver.received), "what was tried waits for its next time, the rest for nobody"


def test_nobody_listens(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    desk = Desk(tmp_path, f"http://user:s3cret@127.0.0.1:{port}/x?token=t0ken")
    desk.put("e1")
    desk.run()
    assert desk.states == [MessageState.PENDING]
    said = str(desk.administration.find(1).last_error)
    assert "ConnectError" in said
    desk.close()
    assert "s3cret" not in said
    assert "t0ken" not in said


def test_retry_after_is_honoured(desk: Desk, receiver: Receiver) -> None:
    receiver.answers = [status(429, {"retry-after": "600"})]
    desk.put("e1")
    desk.run(rounds=2, apart_s=590)
    assert len(receiver.received) == 1
    desk.clock.now_s += 11
    desk.run()
    assert desk.states == [MessageState.DELIVERED]


def test_gone_switches_the_endpoint_off_and_loses_nothing(desk: Desk, receiver: Receiver) -> None:
    receiver.answers = [status(410)]
    desk.put("e1")
    desk.run(rounds=3, apart_s=3600)
    assert len(receiver.received) == 1
    assert desk.administration.disabled()
    desk.administration.enable("ops")
    desk.run()
    assert desk.states == [MessageState.DELIVERED]


def test_a_message_is_given_up_at_the_end_of_the_schedule_and_the_next_one_says_so(desk: Desk, receiver: Receiver) -> None:
    receiver.answers = [status(500)] * len(SCHEDULE_S)
    desk.put("e1", "e1")
    desk.run(rounds=len(SCHEDULE_S), apart_s=1.3 * SCHEDULE_S[-1])
    assert desk.states == [MessageState.DEAD, MessageState.PENDING]
    assert desk.attempts[-1].result == "dead"
    desk.run()
    assert desk.states == [MessageState.DEAD, MessageState.DELIVERED]
    assert receiver.received[-1].event["earlierundelivered"] is True


def test_order_is_kept_within_an_event_whatever_fails(desk: Desk, receiver: Receiver) -> None:
    rng = random.Random(0)
    receiver.answers = rng.choices([status(200), status(500), reset], [3, 1, 1], k=60)
    desk.put(*(f"e{n % 5}" for n in range(25)))
    desk.run(rounds=800, apart_s=400)  # as long as the schedule: which message meets which answer follows from its jitter
    assert set(desk.states) == {MessageState.DELIVERED}
    for number in range(5):
        heard = [r.event["data"]["n"] for r in receiver.received if f"-e{number}-" in r.message_id]
        assert heard == sorted(heard)
        assert len(set(heard)) == 5


def test_a_template_that_fails_is_hopeless_at_once(tmp_path: Path, receiver: Receiver) -> None:
    desk = Desk(tmp_path, receiver.url, format="template", template="{{ data.nothing }}")
    desk.put("e1")
    desk.run()
    desk.close()
    assert desk.states == [MessageState.DEAD]
    assert receiver.received == []


def test_a_dead_endpoint_delays_no_other(tmp_path: Path, receiver: Receiver) -> None:
    desk, clock, stop = Desk(tmp_path, receiver.url), SystemClock(), threading.Event()
    with running_receiver() as deaf:
        deaf.default = silence(2 * TIMEOUT_S)
        endpoints = [{"name": "ops", "url": receiver.url}, {"name": "deaf", "url": deaf.url, "timeout": "300ms"}]
        desk.put(*(f"e{n}" for n in range(300)), endpoint="deaf")
        desk.put(*(f"e{n}" for n in range(50)))
        threads = run_all([desk.sender_of(endpoint, clock) for endpoint in endpoints], stop, ThreadGuard(clock))
        until_s = time.monotonic() + 5
        while desk.administration.depths().get("ops") and time.monotonic() < until_s:
            clock.wait(stop, 0.02)
        depths = desk.administration.depths()
        stop.set()
        for thread in threads:
            thread.join()
    desk.close()
    assert "ops" not in depths
    assert depths["deaf"].pending == 300


def test_a_flood_becomes_one_digest_and_faults_are_told_all_the_same(tmp_path: Path, receiver: Receiver) -> None:
    desk = Desk(tmp_path, receiver.url, rate_limit="3/hour")
    desk.put(*(f"e{n}" for n in range(40)))
    now_s = desk.clock.wall_s()
    fault = {"time": "2026-01-01T00:00:00.000Z"}
    desk.outbox.put([NewMessage("f", "ops", "f", "camera.offline", "cam", fault, now_s)])
    desk.run(rounds=5)
    types = [r.event["type"].removeprefix("streamwatch.") for r in receiver.received]
    assert sorted(types) == ["anomaly.started", "anomaly.started", "camera.offline", "system.digest"]
    digest = next(r.event["data"] for r in receiver.received if r.event["type"].endswith("digest"))
    assert (digest["text"], digest["events"], len(digest["event_ids"])) == ("38 more events on 1 cameras", 38, 38)
    desk.put("late")
    desk.run()
    assert len(receiver.received) == 4
    desk.clock.now_s += 1201
    desk.run()
    assert receiver.received[-1].message_id == "ops-late-0"
    desk.close()


@given(st.floats(0.1, 10_000), st.lists(st.tuples(st.floats(0, 10_000), st.integers(0, 20)), max_size=50))
def test_a_bucket_never_gives_more_than_an_hours_worth_and_its_rate(per_day: float, asked: list[tuple[float, int]]) -> None:
    bucket, now_s, given_out = TokenBucket(per_day, 0.0), 0.0, 0
    for wait_s, wanted in asked:
        now_s += wait_s
        took = min(wanted, bucket.available(now_s))
        bucket.take(took)
        given_out += took
        assert given_out <= max(1.0, per_day / 24) + per_day * now_s / 86_400 + 1e-6


@pytest.mark.parametrize("kind", [ValueError, RecursionError, MemoryError, KeyError])
def test_a_fault_of_ours_is_an_attempt_that_failed(tmp_path: Path, kind: type[Exception]) -> None:
    desk = Desk(tmp_path, "http://127.0.0.1:9/")
    faulty = Faulty(kind)
    sender = EndpointSender("ops", desk.outbox, faulty, clock=desk.clock, rng=random.Random(0))
    desk.put("first", "second")
    assert sender.run_once() == 2
    assert desk.states.count(MessageState.DELIVERED) == 1
    desk.clock.now_s += 2 * SCHEDULE_S[1]
    assert sender.run_once() == 1
    assert desk.states == [MessageState.DELIVERED] * 2
    sender.close()


def test_a_fault_of_ours_between_attempts_ends_no_endpoint(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "http://127.0.0.1:9/")

    def broken(_attempted: Attempted) -> None:
        if len(faulty.sent) == 1:
            raise RuntimeError("of ours")
        stop.set()

    stop, faulty = threading.Event(), Faulty(ValueError)
    sender = EndpointSender("ops", desk.outbox, faulty, clock=desk.clock, rng=random.Random(0), on_attempt=broken)
    desk.put("first")
    ThreadGuard(desk.clock).run("sender-ops", partial(sender.run, stop), stop)
    assert len(faulty.sent) == 2
