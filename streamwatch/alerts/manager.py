"""The senders of a running daemon: built from its endpoints, stopped and built anew when those change."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import partial

from streamwatch.alerts.bodies.alertmanager import REPEAT_S
from streamwatch.alerts.endpoints import Site, senders_of
from streamwatch.alerts.router import MQTT, Links, NotificationRouter
from streamwatch.alerts.sender import Attempted, EndpointSender, run_all
from streamwatch.clock import Clock
from streamwatch.config.schema import Alerts
from streamwatch.enums import AttemptResult, LatencyStage
from streamwatch.errors import StoreError
from streamwatch.metrics import Metrics
from streamwatch.records import Notice
from streamwatch.store.outbox.administration import OutboxAdministration
from streamwatch.store.outbox.leases import Outbox
from streamwatch.threads import ThreadGuard

STOP_S = 15.0
Waiting = dict[str, tuple[int, float | None]]


class DeliveryManager:
    """All senders, the heartbeats, and what waits.

    Args:
        router: plans the heartbeats.
        cameras: those that a broker is told of.
    """

    def __init__(
        self,
        alerts: Alerts,
        outbox: Outbox,
        administration: OutboxAdministration,
        router: NotificationRouter,
        *,
        metrics: Metrics,
        clock: Clock,
        cameras: Sequence[str] = (),
    ) -> None:
        self._alerts, self._outbox, self._administration = alerts, outbox, administration
        self._router, self._cameras = router, tuple(cameras)
        self.present = router.present
        self._metrics, self._clock = metrics, clock
        self._senders = self._built(alerts)
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._guard: ThreadGuard | None = None
        self._beats_due_s: dict[str, float] = {}
        self._repeat_due_s = 0.0
        self._seen: Waiting = {}
        metrics.show_outbox(lambda: self._seen)
        self._expect_endpoints()
        self.refresh()

    def start(self, guard: ThreadGuard) -> None:
        """Begin to deliver."""
        self._guard = guard
        self._threads = run_all(self._senders, self._stop, guard)

    def stop(self, timeout_s: float = STOP_S) -> None:
        """Finish what is under way within so many seconds, and end; what hangs longer is left behind, and sent again."""
        self._stop.set()
        until_s = self._clock.monotonic_s() + timeout_s
        for thread in self._threads:
            thread.join(max(until_s - self._clock.monotonic_s(), 0.0))
        if not self._threads:
            for sender in self._senders:
                sender.close()

    def follow(self, alerts: Alerts, cameras: Sequence[str], links: Links) -> None:
        """Deliver to other endpoints, and tell a broker of other cameras, from now on.

        Raises:
            ConfigError: a secret or a template is none; the old ones go on then.
        """
        if alerts != self._alerts:
            listeners = self.present.listeners
            senders = senders_of(alerts, Site(tuple(cameras), self.present), self._outbox, self._clock, self._record)
            self.present.forget_listeners(listeners)
            self.stop()
            self._alerts, self._senders, self._stop = alerts, senders, threading.Event()
            self._expect_endpoints()
            if self._guard:
                self.start(self._guard)
        elif tuple(cameras) != self._cameras:
            for sender in self._senders:
                sender.announce(cameras)
        self._cameras = tuple(cameras)
        self.present.keep(self._cameras)
        self._router.follow(alerts, links)

    def deliver_now(self, notice: Notice) -> None:
        """Tell of ``notice`` past the outbox, once and without trying again; returns at once."""
        senders = {sender.name: sender for sender in self._senders}
        for message in self._router.of_notice(notice):
            if message.endpoint in senders and not self._stop.is_set():
                senders[message.endpoint].send_now(message)

    def drain(self, timeout_s: float) -> bool:
        """Wait until nothing is pending; False if something still is."""
        until_s = self._clock.monotonic_s() + timeout_s
        while self._pending():
            if self._clock.monotonic_s() >= until_s or self._clock.wait(self._stop, 0.1):
                return False
        return True

    def beat(self) -> None:
        """Write the heartbeats that are due, and send again what goes on to whom forgets it; called again and again.

        Raises:
            StoreError: the database refuses.
        """
        now_s = self._clock.monotonic_s()  # a wall clock that is set back would be silence for as long
        for webhook in self._alerts.webhooks:
            if webhook.heartbeat and now_s >= self._beats_due_s.get(webhook.name, float("-inf")):
                self._beats_due_s[webhook.name] = now_s + webhook.heartbeat
                self._outbox.put_heartbeat(self._router.heartbeat(webhook.name, self._clock.wall_s()))
        if now_s >= self._repeat_due_s and not self._stop.is_set():
            self._repeat_due_s = now_s + REPEAT_S
            self._repeat()

    def _repeat(self) -> None:
        forgetful = {webhook.name for webhook in self._alerts.webhooks if webhook.format == "alertmanager"}
        if not (standing := self.present.standing(forgetful - set(self._administration.disabled()))):
            return
        senders = {sender.name: sender for sender in self._senders}
        for message in standing:
            senders[message.endpoint].send_now(message, partial(self.present.stands, message))

    def refresh(self) -> None:
        """Look what waits; /metrics shows what was seen last, and never waits for the database."""
        self._seen = self._waiting()

    def _built(self, alerts: Alerts) -> list[EndpointSender]:
        return senders_of(alerts, Site(self._cameras, self.present), self._outbox, self._clock, self._record)

    def _waiting(self) -> Waiting:
        """Messages that wait by endpoint, and the Unix time of the oldest; empty while the database cannot be read."""
        try:
            depths = self._administration.depths()
        except StoreError:
            return {}
        known = {name: depths.get(name) for name in self._endpoints()}
        return {name: (depth.pending, depth.oldest_wall_s) if depth else (0, None) for name, depth in known.items()}

    def _endpoints(self) -> list[str]:
        return [*(webhook.name for webhook in self._alerts.webhooks), *([MQTT] if self._alerts.mqtt else [])]

    def _expect_endpoints(self) -> None:
        for name in self._endpoints():
            self._metrics.expect_endpoint(name)

    def _pending(self) -> bool:
        """Whether something waits for an endpoint that is not switched off."""
        disabled = self._administration.disabled()
        return any(pending for name, (pending, _) in self._waiting().items() if name not in disabled)

    def _record(self, attempted: Attempted) -> None:
        self._metrics.delivery_attempts.labels(attempted.endpoint, attempted.result).inc()
        if attempted.result == AttemptResult.DEAD:
            self._metrics.dead_letters.labels(attempted.endpoint).inc()
        if attempted.result == AttemptResult.DELIVERED:
            latency_s = max(attempted.at_wall_s - attempted.created_wall_s, 0.0)
            self._metrics.frame_latency.labels(LatencyStage.EVENT_TO_DELIVERY).observe(latency_s)
