"""The senders of a running daemon: built from its endpoints, stopped and built anew when those change."""

from __future__ import annotations

import importlib
import logging
import random
import threading
from collections.abc import Callable, Sequence

import httpx

from streamwatch.alerts.formats import renderer
from streamwatch.alerts.sender import Attempted, EndpointSender, SendingRules, run_all
from streamwatch.alerts.signature import key_of
from streamwatch.alerts.webhook import Webhook as Poster
from streamwatch.clock import Clock
from streamwatch.config.models import Alerts, Mqtt, Webhook
from streamwatch.errors import ConfigError, StoreError
from streamwatch.metrics import Metrics
from streamwatch.runtime.messages import MQTT, Planner
from streamwatch.store.outbox import Outbox

log = logging.getLogger(__name__)
STOP_S = 15.0
SOURCE = "urn:streamwatch"
OnAttempt = Callable[[Attempted], None]


def webhook_of(webhook: Webhook, clock: Clock) -> Poster:
    """What posts to an endpoint.

    Raises:
        ConfigError: its secret or its template is none.
    """
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs every URL, and a URL may hold a token
    secrets = [secret.get_secret_value() for secret in webhook.secrets]
    for secret in secrets:
        key_of(secret)
    url = webhook.url.get_secret_value()
    limits = httpx.Limits(max_connections=webhook.concurrency, max_keepalive_connections=webhook.concurrency)
    client = httpx.Client(timeout=webhook.timeout, follow_redirects=False, limits=limits, trust_env=False)
    render = renderer(webhook.format, url=url, source=SOURCE, template=webhook.template)
    return Poster(url, secrets, render, client, clock, webhook.timeout)


def sender_of(webhook: Webhook, outbox: Outbox, clock: Clock, on_attempt: OnAttempt = lambda _: None) -> EndpointSender:
    """The sender of one endpoint; raises as ``webhook_of``."""
    return EndpointSender(
        webhook.name,
        outbox,
        webhook_of(webhook, clock),
        clock=clock,
        rng=random.Random(),
        rules=SendingRules(webhook.concurrency, webhook.timeout, webhook.rate_limit),
        on_attempt=on_attempt,
    )


def mqtt_sender_of(
    mqtt: Mqtt, cameras: Sequence[str], outbox: Outbox, clock: Clock, on_attempt: OnAttempt = lambda _: None
) -> EndpointSender:
    """The sender of the broker.

    Raises:
        ConfigError: the broker's URL is none, or the extra is not installed.
    """
    try:
        module = importlib.import_module("streamwatch.alerts.mqtt")  # its library is an extra
    except ImportError:
        raise ConfigError("`alerts.mqtt` needs the MQTT library", hint="pip install 'streamwatch[mqtt]'") from None
    broker = module.Broker(mqtt.url.get_secret_value(), mqtt.topic, mqtt.discovery or "", cameras, mqtt.timeout, SOURCE)
    poster = module.MqttPoster(broker)
    return EndpointSender(
        MQTT,
        outbox,
        poster,
        clock=clock,
        rng=random.Random(),
        rules=SendingRules(timeout_s=2 * mqtt.timeout),
        on_attempt=on_attempt,
    )


def senders_of(
    alerts: Alerts, cameras: Sequence[str], outbox: Outbox, clock: Clock, on_attempt: OnAttempt = lambda _: None
) -> list[EndpointSender]:
    """The senders of all endpoints; raises as the functions above."""
    senders = [sender_of(webhook, outbox, clock, on_attempt) for webhook in alerts.webhooks]
    return senders + ([mqtt_sender_of(alerts.mqtt, cameras, outbox, clock, on_attempt)] if alerts.mqtt else [])


class Deliveries:
    """All senders, the heartbeats, and the metrics of what waits.

    Args:
        planner: plans the heartbeats.
        cameras: those that a broker is told of.
    """

    def __init__(
        self,
        alerts: Alerts,
        outbox: Outbox,
        planner: Planner,
        *,
        metrics: Metrics,
        clock: Clock,
        cameras: Sequence[str] = (),
    ) -> None:
        self._alerts, self._outbox, self._planner, self._cameras = alerts, outbox, planner, cameras
        self._metrics, self._clock = metrics, clock
        self._senders = self._built(alerts)
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._beats_due_s: dict[str, float] = {}
        metrics.show_outbox(self._waiting)
        self._expect_endpoints()

    def start(self) -> None:
        """Begin to deliver."""
        self._threads = run_all(self._senders, self._stop)

    def stop(self) -> None:
        """Finish what is under way, and end."""
        self._stop.set()
        for thread in self._threads:
            thread.join(STOP_S)
        if not self._threads:
            for sender in self._senders:
                sender.close()

    def follow(self, alerts: Alerts) -> None:
        """Deliver to other endpoints from now on.

        Raises:
            ConfigError: a secret or a template is none; the old ones go on then.
        """
        if alerts == self._alerts:
            return
        senders = self._built(alerts)
        self.stop()
        self._alerts, self._senders, self._stop = alerts, senders, threading.Event()
        self._planner.follow(alerts)
        self._expect_endpoints()
        self.start()

    def drain(self, timeout_s: float) -> bool:
        """Wait until nothing is pending; False if something still is."""
        until_s = self._clock.monotonic_s() + timeout_s
        while self._pending():
            if self._clock.monotonic_s() >= until_s or self._clock.wait(self._stop, 0.1):
                return False
        return True

    def beat(self) -> None:
        """Write the heartbeats that are due; called again and again."""
        now_s = self._clock.wall_s()
        for webhook in self._alerts.webhooks:
            if webhook.heartbeat and now_s >= self._beats_due_s.get(webhook.name, 0.0):
                self._beats_due_s[webhook.name] = now_s + webhook.heartbeat
                self._outbox.put_heartbeat(self._planner.heartbeat(webhook.name, now_s))

    def _built(self, alerts: Alerts) -> list[EndpointSender]:
        return senders_of(alerts, self._cameras, self._outbox, self._clock, self._note)

    def _waiting(self) -> dict[str, tuple[int, float | None]]:
        """Messages that wait by endpoint, and the Unix time of the oldest; empty while the database cannot be read."""
        try:
            depths = self._outbox.depths()
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
        disabled = self._outbox.disabled()
        return any(pending for name, (pending, _) in self._waiting().items() if name not in disabled)

    def _note(self, attempted: Attempted) -> None:
        self._metrics.delivery_attempts.labels(attempted.endpoint, attempted.result).inc()
        if attempted.result == "dead":
            self._metrics.dead_letters.labels(attempted.endpoint).inc()
        if attempted.result == "delivered":
            latency_s = max(attempted.at_wall_s - attempted.created_wall_s, 0.0)
            self._metrics.frame_latency.labels("event_to_delivery").observe(latency_s)
