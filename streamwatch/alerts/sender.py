"""The sender of one endpoint: leases what is due, posts it, writes down what came of it."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from streamwatch.alerts.attempts import AttemptPool
from streamwatch.alerts.flood import FLOODING, TokenBucket, digest_of
from streamwatch.alerts.retry_schedule import wait_before_s
from streamwatch.alerts.webhook import DeliveryResult
from streamwatch.clock import Clock
from streamwatch.enums import AttemptResult, EventType, MessageState
from streamwatch.errors import StoreError
from streamwatch.retry import caught
from streamwatch.store.outbox.leases import Outbox
from streamwatch.store.outbox.messages import Message, NewMessage, Settlement
from streamwatch.threads import ThreadGuard

log = logging.getLogger(__name__)
ROUNDS_A_LEASE = 4
IDLE_S = 0.5
"""How soon a new message is seen."""
STORE_RETRY_S = 5.0


class Transport(Protocol):
    """What makes the attempts; see ``WebhookTransport``."""

    def send(self, message: Message) -> DeliveryResult:
        """Send it once, and do not raise."""
        ...

    def close(self) -> None:
        """Close its connections."""
        ...

    def announce(self, cameras: Sequence[str]) -> None:
        """Other cameras are watched from now on; a transport that tells of messages alone does nothing."""
        ...


@dataclass(frozen=True)
class Attempted:
    """What is counted of an attempt."""

    endpoint: str
    result: AttemptResult
    created_wall_s: float
    at_wall_s: float


@dataclass(frozen=True)
class SendingOptions:
    """How fast an endpoint is sent to.

    Attributes:
        concurrency: how many attempts are under way at once.
        timeout_s: how long an attempt may take; a lease lasts for four in a row, and one to spare.
        per_day: messages of anomalies that it may have; None for any number.
    """

    concurrency: int = 8
    timeout_s: float = 10.0
    per_day: float | None = None


class EndpointSender:
    """Delivers one endpoint's messages."""

    def __init__(
        self,
        name: str,
        outbox: Outbox,
        transport: Transport,
        *,
        clock: Clock,
        rng: random.Random,
        options: SendingOptions = SendingOptions(),
        on_attempt: Callable[[Attempted], None] = lambda _: None,
    ) -> None:
        self.name, self._outbox, self._transport = name, outbox, transport
        self._clock, self._rng, self._on_attempt = clock, rng, on_attempt
        self._limit = ROUNDS_A_LEASE * options.concurrency
        self._lease_s = (ROUNDS_A_LEASE + 1) * options.timeout_s
        self._bucket = None if options.per_day is None else TokenBucket(options.per_day, clock.wall_s())
        self._pool = AttemptPool(options.concurrency, f"deliver-{name}")
        self._stopping = threading.Event()

    def run_once(self) -> int:
        """Send what is due, up to four times as many as may be under way; how many that were.

        Raises:
            StoreError: the database refuses.
        """
        messages = self._lease(self._clock.wall_s())
        attempted = self._pool.map(self._attempt_unless_stopping, messages)
        settled = [(message, outcome) for message, outcome in zip(messages, attempted, strict=True) if outcome]
        self._outbox.settle([settlement for _, settlement in settled])
        for message, settlement in settled:
            self._report(message, settlement)
        if len(settled) < len(messages):
            self._outbox.release([message.number for message, outcome in zip(messages, attempted, strict=True) if not outcome])
        return len(messages)

    def _lease(self, now_s: float) -> list[Message]:
        until_s = now_s + self._lease_s
        if self._bucket is None:
            return self._outbox.lease(self.name, now_s=now_s, until_s=until_s, limit=self._limit)
        allowed = self._bucket.available(now_s)
        if allowed:
            self._outbox.coalesce(
                self.name, FLOODING, now_s=now_s, keep=allowed - 1, make=lambda coalesced: digest_of(coalesced, now_s)
            )
        limit, without = (min(self._limit, allowed), "") if allowed else (self._limit, FLOODING)
        messages = self._outbox.lease(self.name, now_s=now_s, until_s=until_s, limit=limit, without=without)
        limited = sum(m.attempts == 0 and (m.type.startswith(FLOODING) or m.type == EventType.SYSTEM_DIGEST) for m in messages)
        self._bucket.take(limited)
        return messages

    def run(self, stop: threading.Event) -> None:
        """Deliver until stopped; what is under way then is finished, and what is not is given back."""
        self._stopping = stop
        while not stop.is_set():
            if self._clock.wait(stop, self._round()):
                break
        self.close()

    def _round(self) -> float:
        """What is due; how many seconds to wait until the next round."""
        try:
            return 0.0 if self.run_once() else IDLE_S
        except StoreError as error:
            log.warning("endpoint %s: %s", self.name, error)
            return STORE_RETRY_S

    def send_now(self, message: NewMessage, still: Callable[[], bool] = lambda: True) -> None:
        """One attempt past the outbox, in a thread of the pool: for what the database cannot hold, because it is what fails.

        Args:
            still: asked when its turn comes whether it is to be sent at all.
        """
        now_s = message.created_wall_s
        whole = Message(
            number=0,
            id=message.id,
            endpoint=self.name,
            subject=message.subject,
            type=message.type,
            camera=message.camera,
            content=message.content,
            created_wall_s=now_s,
            due_wall_s=now_s,
            attempts=0,
            state=MessageState.PENDING,
        )
        self._pool.submit(partial(self._send_unstored, still=still), whole)

    def _send_unstored(self, message: Message, *, still: Callable[[], bool]) -> None:
        if not still():
            return
        result = self._send(message)
        outcome = AttemptResult.DELIVERED if result.delivered else AttemptResult.FAILED
        self._on_attempt(Attempted(self.name, outcome, message.created_wall_s, self._clock.wall_s()))
        if not result.delivered:
            log.warning("endpoint %s: %s was not delivered: %s", self.name, message.type, result.error)

    def announce(self, cameras: Sequence[str]) -> None:
        """Other cameras are watched from now on."""
        self._transport.announce(cameras)

    def close(self) -> None:
        """Make no more attempts, and close all connections."""
        self._pool.close()
        self._transport.close()

    def _attempt_unless_stopping(self, message: Message) -> Settlement | None:
        return None if self._stopping.is_set() else self._attempt(message)

    def _attempt(self, message: Message) -> Settlement:
        began_s = self._clock.monotonic_s()
        result = self._send(message)
        latency_s, at_s = self._clock.monotonic_s() - began_s, self._clock.wall_s()
        state, due_s = self._what_next(message, result, at_s)
        disable = "it answered 410 Gone" if result.gone else None
        return Settlement(
            message.number, state, at_s, latency_s, due_s, result.status, result.error, self.name, disable
        )  # fmt: skip

    def _send(self, message: Message) -> DeliveryResult:
        """One attempt; a fault of ours is one that failed, logged with its stack, and the next message has its turn."""
        results: list[DeliveryResult] = []
        failure = caught(lambda: results.append(self._transport.send(message)))
        if failure is None:
            return results[0]
        log.error("endpoint %s: internal fault in an attempt", self.name, exc_info=failure)
        return DeliveryResult(False, error=f"internal fault ({failure.__class__.__name__})")

    def _what_next(self, message: Message, result: DeliveryResult, at_s: float) -> tuple[MessageState, float]:
        if result.delivered:
            return MessageState.DELIVERED, 0.0
        wait_s = None if result.permanent else wait_before_s(message.attempts + 1, self._rng, result.retry_after_s)
        return (MessageState.DEAD, 0.0) if wait_s is None else (MessageState.PENDING, at_s + wait_s)

    def _report(self, message: Message, settlement: Settlement) -> None:
        results = {MessageState.DELIVERED: AttemptResult.DELIVERED, MessageState.DEAD: AttemptResult.DEAD}
        result = results.get(settlement.state, AttemptResult.FAILED)
        self._on_attempt(Attempted(self.name, result, message.created_wall_s, settlement.at_wall_s))
        if settlement.state == MessageState.DEAD:
            log.error("endpoint %s: message %d (%s) is given up: %s", self.name, message.number, message.type, settlement.error)
        if settlement.disable:
            log.error("endpoint %s: switched off, %s; `streamwatch alerts enable %s`", self.name, settlement.disable, self.name)


def run_all(senders: Sequence[EndpointSender], stop: threading.Event, guard: ThreadGuard) -> list[threading.Thread]:
    """Start a thread for each: a dead endpoint delays no other."""
    return [guard.start(f"sender-{sender.name}", partial(sender.run, stop), stop) for sender in senders]
