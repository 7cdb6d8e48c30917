"""Which endpoints are told of what: messages are planned when something happens, and written with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from streamwatch.clock import Clock
from streamwatch.config.models import Alerts, Webhook
from streamwatch.config.schedule import armed
from streamwatch.events.ids import uuid7
from streamwatch.events.wire import change_document, iso_time, notice_document
from streamwatch.records import SEVERITIES, Event, EventChange, Notice
from streamwatch.store.outbox import NewMessage

MOST_BOXES = 32
HEARTBEAT = "system.heartbeat"
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
class _Happening:
    """What is to be told, before it is known to whom."""

    type: str
    camera: str
    severity: str | None
    subject: str
    at_wall_s: float
    content: dict[str, Any]


class Planner:
    """Plans messages by a configuration's endpoints.

    Args:
        clock: tells when a message is written. A recording that is read faster than it plays has its events in the future.
        links: of an event's evidence.
    """

    def __init__(self, alerts: Alerts, clock: Clock, links: Links = no_links) -> None:
        self._alerts, self._clock, self._links = alerts, clock, links

    def follow(self, alerts: Alerts) -> None:
        """Plan by other endpoints from now on."""
        self._alerts = alerts

    def of_change(self, change: EventChange) -> list[NewMessage]:
        """What an event's change is worth."""
        event = change.event
        content = change_document(change)
        content["boxes"] = content.get("boxes", [])[:MOST_BOXES]
        content["links"] = self._links(event)
        return self._messages(_Happening(change.type, event.camera, event.severity, event.id, change.at_wall_s, content))

    def of_notice(self, notice: Notice) -> list[NewMessage]:
        """What a notice is worth; notices of a camera arrive in order."""
        subject = f"{notice.camera}/{notice.type}"[:36]
        return self._messages(_Happening(notice.type, notice.camera, None, subject, notice.at_wall_s, notice_document(notice)))

    def heartbeat(self, endpoint: str, at_wall_s: float) -> NewMessage:
        """A sign of life."""
        content = {"type": HEARTBEAT, "time": iso_time(at_wall_s)}
        return NewMessage(uuid7(at_wall_s), endpoint, HEARTBEAT, HEARTBEAT, "", content, at_wall_s)

    def _messages(self, happening: _Happening) -> list[NewMessage]:
        told = [webhook.name for webhook in self._alerts.webhooks if wants(webhook, happening)]
        mqtt = self._alerts.mqtt
        told += [MQTT] if mqtt and any(fnmatchcase(happening.type, pattern) for pattern in mqtt.events) else []
        now_s = self._clock.wall_s()
        message_id = uuid7(now_s)
        return [
            NewMessage(message_id, name, happening.subject, happening.type, happening.camera, happening.content, now_s)
            for name in told
        ]


def wants(webhook: Webhook, happening: _Happening) -> bool:
    """Whether an endpoint is to be told."""
    return (
        any(fnmatchcase(happening.type, pattern) for pattern in webhook.events)
        and (not webhook.cameras or any(fnmatchcase(happening.camera, pattern) for pattern in webhook.cameras))
        and (happening.severity is None or SEVERITIES.index(happening.severity) >= SEVERITIES.index(webhook.severity))
        and armed(webhook.schedule, happening.at_wall_s)
    )
