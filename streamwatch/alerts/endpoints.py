"""From a configuration's endpoints to their senders."""

from __future__ import annotations

import importlib
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import httpx

from streamwatch.alerts.bodies.formats import renderer
from streamwatch.alerts.deadline import Deadline, DeadlineTransport
from streamwatch.alerts.present import PresentState
from streamwatch.alerts.router import MQTT
from streamwatch.alerts.sender import Attempted, EndpointSender, SendingOptions
from streamwatch.alerts.signature import key_of
from streamwatch.alerts.webhook import WebhookTransport
from streamwatch.clock import Clock
from streamwatch.config.schema import Alerts, Mqtt, Webhook
from streamwatch.documents import iso_time
from streamwatch.enums import EventType, MessageState
from streamwatch.errors import ConfigError, DeliveryError, UsageError
from streamwatch.ids import uuid7
from streamwatch.store.outbox.leases import Outbox
from streamwatch.store.outbox.messages import Message

SOURCE = "urn:streamwatch"
OnAttempt = Callable[[Attempted], None]


@dataclass(frozen=True, slots=True)
class Site:
    """What a broker is told of beside messages.

    Attributes:
        cameras: those that are announced.
    """

    cameras: Sequence[str]
    present: PresentState


def webhook_of(webhook: Webhook, clock: Clock) -> WebhookTransport:
    """What posts to an endpoint.

    Raises:
        ConfigError: its secret or its template is none.
    """
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs every URL, and a URL may hold a token
    secrets = [secret.get_secret_value() for secret in webhook.secrets]
    for secret in secrets:
        key_of(secret, where=f"alerts.webhooks {webhook.name}")
    url = webhook.url.get_secret_value()
    deadline = Deadline(clock)
    transport = DeadlineTransport(deadline, webhook.concurrency)
    client = httpx.Client(timeout=webhook.timeout, follow_redirects=False, transport=transport, trust_env=False)
    render = renderer(webhook.format, url=url, source=SOURCE, template=webhook.template, clock=clock)
    return WebhookTransport(url, secrets, render, client, clock, webhook.timeout, deadline)


def sender_of(webhook: Webhook, outbox: Outbox, clock: Clock, on_attempt: OnAttempt = lambda _: None) -> EndpointSender:
    """The sender of one endpoint; raises as ``webhook_of``."""
    return EndpointSender(
        webhook.name,
        outbox,
        webhook_of(webhook, clock),
        clock=clock,
        rng=random.Random(),
        options=SendingOptions(webhook.concurrency, webhook.timeout, webhook.rate_limit),
        on_attempt=on_attempt,
    )


def mqtt_sender_of(
    mqtt: Mqtt, site: Site, outbox: Outbox, clock: Clock, on_attempt: OnAttempt = lambda _: None
) -> EndpointSender:
    """The sender of the broker.

    Raises:
        ConfigError: the broker's URL is none, or the extra is not installed.
    """
    try:
        module = importlib.import_module("streamwatch.alerts.mqtt")  # its library is an extra
    except ImportError:
        raise ConfigError("`alerts.mqtt` needs the MQTT library", hint="pip install 'streamwatch[mqtt]'") from None
    url = mqtt.url.get_secret_value()
    broker = module.Broker(url, mqtt.topic, mqtt.discovery or "", site.cameras, mqtt.timeout, SOURCE)
    transport = module.MqttTransport(broker, site.present)
    return EndpointSender(
        MQTT,
        outbox,
        transport,
        clock=clock,
        rng=random.Random(),
        options=SendingOptions(timeout_s=2 * mqtt.timeout),
        on_attempt=on_attempt,
    )


def senders_of(
    alerts: Alerts, site: Site, outbox: Outbox, clock: Clock, on_attempt: OnAttempt = lambda _: None
) -> list[EndpointSender]:
    """The senders of all endpoints; raises as the functions above."""
    senders = [sender_of(webhook, outbox, clock, on_attempt) for webhook in alerts.webhooks]
    return senders + ([mqtt_sender_of(alerts.mqtt, site, outbox, clock, on_attempt)] if alerts.mqtt else [])


def webhook_named(alerts: Alerts, name: str) -> Webhook:
    """An endpoint by its name.

    Raises:
        UsageError: there is none.
    """
    found = next((webhook for webhook in alerts.webhooks if webhook.name == name), None)
    if found is None:
        known = ", ".join(webhook.name for webhook in alerts.webhooks) or "none"
        raise UsageError(f"no endpoint {name!r} in the configuration", hint=f"it has {known}")
    return found


def send_test(alerts: Alerts, name: str, clock: Clock) -> int:
    """Post a test message to an endpoint, signed and in its format; nothing is stored. The HTTP status.

    Raises:
        UsageError: there is no such endpoint; ConfigError: its secret or template is none; DeliveryError: it did not arrive.
    """
    now_s, kind = clock.wall_s(), EventType.SYSTEM_TEST
    content = {"type": kind, "time": iso_time(now_s), "text": "a test message of streamwatch"}
    message = Message(0, uuid7(now_s), name, kind, kind, "", content, now_s, now_s, 0, MessageState.PENDING)
    transport = webhook_of(webhook_named(alerts, name), clock)
    try:
        result = transport.send(message)
    finally:
        transport.close()
    if not result.delivered or result.status is None:
        raise DeliveryError(result.error or "not delivered", where=f"endpoint {name}", hint="check its URL and secret")
    return result.status
