"""Alerts as Alertmanager has them: one identity for one camera's one condition, which fires while it holds and ends once.

An alert that is not sent again ends by Alertmanager's ``resolve_timeout``; one that says when it ends, then. So what goes on is
sent every ``REPEAT_S`` and says that it ends after four times as long: a daemon that is gone leaves no alert behind for good.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from streamwatch.documents import iso_time
from streamwatch.enums import EventType, Severity
from streamwatch.store.outbox.messages import Message

REPEAT_S = 60.0
"""How often an alert that goes on is sent again."""
_HOLDS_S = 4 * REPEAT_S
_CONDITIONS: dict[str, tuple[str, ...]] = {
    EventType.CAMERA_OFFLINE: ("offline", "unusable"),
    EventType.CAMERA_UNUSABLE: ("unusable", "offline"),
    EventType.CAMERA_ONLINE: ("", "offline", "unusable"),
    EventType.CAMERA_TAMPER: ("tamper",),
    EventType.MODEL_DRIFT: ("drift",),
    EventType.SYSTEM_DEGRADED: ("degraded",),
}
"""What a message says of a camera: the condition that holds now, and those that do not because of it."""
_ANOMALIES = (EventType.ANOMALY_STARTED, EventType.ANOMALY_UPDATED, EventType.ANOMALY_ENDED)
_UNTIL_TOLD = (EventType.ANOMALY_STARTED, EventType.ANOMALY_UPDATED, EventType.CAMERA_OFFLINE, EventType.CAMERA_UNUSABLE)
Summary = Callable[[Message], str]


def goes_on(kind: str, content: Mapping[str, Any]) -> bool:
    """Whether what a message of a type tells of holds until another message says otherwise."""
    return kind in _UNTIL_TOLD or (kind in _CONDITIONS and bool(content.get("active")))


def alerts(message: Message, now_s: float, summary: Summary) -> list[dict[str, Any]]:
    """What a message means to Alertmanager, the alert that it is about first.

    An anomaly that became more severe ends the alert of its lesser severity; a camera that is back ends whatever it was.
    What has no duration, a test or a digest, fires for four minutes, so that people are told.
    """
    if message.type in _ANOMALIES:
        return _of_anomaly(message, now_s, summary)
    conditions = _CONDITIONS.get(message.type, (message.type.rpartition(".")[2],))
    holds = goes_on(message.type, message.content) or message.type not in _CONDITIONS
    first = [_alert(message, now_s, summary, _of_condition(message, conditions[0]), ends=not holds)] if conditions[0] else []
    return first + [_alert(message, now_s, summary, _of_condition(message, other), ends=True) for other in conditions[1:]]


def webhook_v4(message: Message, source: str, now_s: float, summary: Summary) -> dict[str, Any]:
    """What Alertmanager itself posts to a webhook, version 4: for tools that read that."""
    found = alerts(message, now_s, summary)
    firing = [one["endsAt"] > iso_time(now_s) for one in found]
    status = {True: "firing", False: "resolved"}
    told = [
        {**one, "endsAt": NEVER if fires else one["endsAt"], "status": status[fires], "fingerprint": message.subject}
        for one, fires in zip(found, firing, strict=True)
    ]
    return {
        "version": "4",
        "groupKey": f"{{}}:{{event={json.dumps(message.subject)}}}",
        "truncatedAlerts": 0,
        "status": status[any(firing)],
        "receiver": "streamwatch",
        "groupLabels": {"event": message.subject},
        "commonLabels": dict(set.intersection(*(set(one["labels"].items()) for one in found))),
        "commonAnnotations": found[0]["annotations"],
        "externalURL": source,
        "alerts": told,
    }


NEVER = "0001-01-01T00:00:00Z"
"""What Alertmanager writes of an alert that has not ended."""


def _of_anomaly(message: Message, now_s: float, summary: Summary) -> list[dict[str, Any]]:
    content = message.content
    ends = message.type == EventType.ANOMALY_ENDED
    severity = str(content.get("severity", Severity.WARNING))
    known = [str(one) for one in Severity]
    lesser = known[: known.index(severity)] if message.type != EventType.ANOMALY_STARTED else []
    labels = {"alertname": "anomaly", "camera": message.camera, "event": message.subject}
    labels |= {"zone": str(content["zone"])} if content.get("zone") else {}
    one = _alert(message, now_s, summary, {**labels, "severity": severity}, ends=ends)
    return [one, *(_alert(message, now_s, summary, {**labels, "severity": other}, ends=True) for other in lesser)]


def _of_condition(message: Message, condition: str) -> dict[str, str]:
    labels = {"alertname": message.type.partition(".")[0], "camera": message.camera, "condition": condition}
    what = message.content.get("what") or message.content.get("tamper")
    return labels | ({"what": str(what)} if what else {})


def _alert(message: Message, now_s: float, summary: Summary, labels: dict[str, str], *, ends: bool) -> dict[str, Any]:
    content = message.content
    ended = content.get("end") or content["time"]
    return {
        "labels": {name: value for name, value in labels.items() if value},
        "annotations": {"summary": summary(message)},
        "startsAt": content.get("start") or content["time"],
        "endsAt": min(ended, iso_time(now_s)) if ends else iso_time(now_s + _HOLDS_S),
        "generatorURL": content.get("links", {}).get("event", ""),
    }
