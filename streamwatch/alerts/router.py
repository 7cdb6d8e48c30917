"""Which endpoints are told of what: notifications are routed when something happens, and written with it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from streamwatch.alerts.bodies.alertmanager import goes_on
from streamwatch.alerts.present import PresentState
from streamwatch.clock import Clock
from streamwatch.config.arming import armed
from streamwatch.config.schema import Alerts, Webhook
from streamwatch.documents import change_document, iso_time, notice_document
from streamwatch.enums import EventType, Severity
from streamwatch.ids import uuid7
from streamwatch.records import Event, EventChange, Notice
from streamwatch.store.outbox.messages import NewMessage

MAX_REMEMBERED = 1000
"""Changes whose messages are known again: more than are stored at once (``detection.recorder``)."""
MAX_BOXES = 32
_SUBJECT_LENGTH = 36
_CONDITIONS: dict[str, str] = dict.fromkeys(
    (EventType.CAMERA_OFFLINE, EventType.CAMERA_UNUSABLE, EventType.CAMERA_ONLINE), "connection"
)
_SEVERITIES = tuple(Severity)
MQTT = "mqtt"
"""The name of the broker among the endpoints."""
Links = Callable[[Event], dict[str, str]]


def no_links(_event: Event) -> dict[str, str]:
    """For a daemon whose page has no address."""
    return {}


def links_to(public_url: str | None, *, clips: bool = True) -> Links:
    """Links to an event's evidence on the page: of one that goes on, the picture that it began with, and its clip, if kept."""
    if public_url is None:
        return no_links
    base = public_url.rstrip("/")

    def links(event: Event) -> dict[str, str]:
        start = {"start": f"{base}/starts/{event.id}.jpg"}
        if clips:
            start["clip"] = f"{base}/clips/{event.id}.mp4"
        if event.end_wall_s is None:
            return start
        ended = {"peak": "peaks", "snapshot": "snapshots"}
        pictures = {name: f"{base}/{kind}/{event.id}.jpg" for name, kind in ended.items()}
        pictures["scores"] = f"{base}/scores/{event.id}.svg"
        return {**start, **pictures, "evidence": f"{base}/evidence/{event.id}.json"}

    return links


@dataclass(frozen=True)
class _Notification:
    """What is to be told, before it is known to whom."""

    type: str
    camera: str
    severity: Severity | None
    subject: str
    at_wall_s: float
    content: dict[str, Any]


class NotificationRouter:
    """Routes notifications by a configuration's endpoints.

    Args:
        clock: tells when a message is written. A recording that is read faster than it plays has its events in the future.
        links: of an event's evidence.
    """

    def __init__(self, alerts: Alerts, clock: Clock, links: Links = no_links) -> None:
        self._alerts, self._clock, self._links = alerts, clock, links
        self._known: dict[int, tuple[EventChange | Notice, list[NewMessage]]] = {}
        self.present = PresentState()

    def follow(self, alerts: Alerts, links: Links) -> None:
        """Route by other endpoints from now on, with other links."""
        self._alerts, self._links = alerts, links

    def of_change(self, change: EventChange) -> list[NewMessage]:
        """What an event's change is worth; of the same one asked again, the same messages."""
        return self._once(change, lambda: self._of_change(change), lambda: self.present.follow_change(change))

    def _once(
        self, item: EventChange | Notice, make: Callable[[], list[NewMessage]], follow: Callable[[], None]
    ) -> list[NewMessage]:
        """What was made of the item before: its answer may be what was lost, and other ids would be told again."""
        known = self._known.get(id(item))
        if known is None or known[0] is not item:
            known = self._known[id(item)] = (item, make())
            while len(self._known) > MAX_REMEMBERED:
                del self._known[next(iter(self._known))]
            follow()
        return known[1]

    def _of_change(self, change: EventChange) -> list[NewMessage]:
        event = change.event
        content = change_document(change)
        content["boxes"] = content.get("boxes", [])[:MAX_BOXES]
        content["links"] = self._links(event)
        return self._messages(_Notification(change.type, event.camera, event.severity, event.id, change.at_wall_s, content))

    def of_notice(self, notice: Notice) -> list[NewMessage]:
        """What a notice is worth; notices of a camera arrive in order, and of the same one asked again, the same messages."""
        return self._once(notice, lambda: self._of_notice(notice), lambda: self.present.follow_notice(notice))

    def _of_notice(self, notice: Notice) -> list[NewMessage]:
        told = _Notification(notice.type, notice.camera, None, condition_of(notice), notice.at_wall_s, notice_document(notice))
        # What is told past the outbox, because the database is what fails, comes again by it: under the same id.
        return self._messages(told, notice.id if notice.type == EventType.SYSTEM_DEGRADED else None)

    def heartbeat(self, endpoint: str, at_wall_s: float) -> NewMessage:
        """A sign of life."""
        content = {"type": EventType.SYSTEM_HEARTBEAT, "time": iso_time(at_wall_s)}
        return NewMessage(
            uuid7(at_wall_s), endpoint, EventType.SYSTEM_HEARTBEAT, EventType.SYSTEM_HEARTBEAT, "", content, at_wall_s
        )

    def _messages(self, notification: _Notification, message_id: str | None = None) -> list[NewMessage]:
        names = [webhook.name for webhook in self._alerts.webhooks if wants(webhook, notification)]
        mqtt = self._alerts.mqtt
        names += [MQTT] if mqtt and any(fnmatchcase(notification.type, pattern) for pattern in mqtt.events) else []
        now_s = self._clock.wall_s()
        one_id = message_id or uuid7(now_s)
        subject, kind, content = notification.subject, notification.type, notification.content
        messages = [NewMessage(one_id, name, subject, kind, notification.camera, content, now_s) for name in names]
        self.present.stand(subject, messages, goes_on=goes_on(kind, content))
        return messages


def condition_of(notice: Notice) -> str:
    """What a notice is about, so that what begins it and what ends it arrive in order: at most 36 letters."""
    detail = dict(notice.detail)
    condition = _CONDITIONS.get(notice.type, notice.type)
    text = "/".join(str(part) for part in (notice.camera, condition, detail.get("what"), detail.get("tamper")) if part)
    return text if len(text) <= _SUBJECT_LENGTH else hashlib.sha256(text.encode()).hexdigest()[:_SUBJECT_LENGTH]


def wants(webhook: Webhook, notification: _Notification) -> bool:
    """Whether an endpoint is to be told."""
    return (
        any(fnmatchcase(notification.type, pattern) for pattern in webhook.events)
        and (not webhook.cameras or any(fnmatchcase(notification.camera, pattern) for pattern in webhook.cameras))
        and (
            notification.severity is None
            or _SEVERITIES.index(notification.severity) >= _SEVERITIES.index(Severity(webhook.severity))
        )
        and armed(webhook.schedule, notification.at_wall_s)
    )
