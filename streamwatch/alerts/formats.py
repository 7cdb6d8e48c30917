"""What a message looks like to its receiver: CloudEvents 1.0, Alertmanager, Slack, or a template of the user's."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from jinja2 import TemplateError

from streamwatch.alerts.bounded_templates import BoundedEnvironment
from streamwatch.enums import EventType
from streamwatch.errors import ConfigError, DeliveryError
from streamwatch.store.messages import Message

Format = Literal["cloudevents", "alertmanager", "slack", "template"]
TYPE_PREFIX = "streamwatch."
MAX_BODY_BYTES = 262_144
ALERTMANAGER_API = "/api/v2/alerts"
_ONGOING = (EventType.ANOMALY_STARTED, EventType.ANOMALY_UPDATED, EventType.CAMERA_OFFLINE)
_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Body:
    """What is posted."""

    content: bytes
    content_type: str


Render = Callable[[Message], Body]


def renderer(form: Format, *, url: str = "", source: str = "streamwatch", template: str | None = None) -> Render:
    """How messages are made into bodies of a format.

    Args:
        url: of the endpoint; an Alertmanager's own API takes another body than receivers of its webhooks.
        source: the CloudEvents source, and the Alertmanager's external URL.
        template: of the ``template`` format.

    Raises:
        ConfigError: the template is none.
    """
    if form == "template":
        return _templated(template or "")
    if form == "slack":
        return lambda message: _checked(json.dumps({"text": sentence(message)}), _JSON)
    if form == "alertmanager":
        push = url.partition("?")[0].rstrip("/").endswith(ALERTMANAGER_API)
        shape = (lambda m: [alert(m)]) if push else (lambda m: webhook_v4(m, source))
        return lambda message: _checked(json.dumps(shape(message)), _JSON)
    return lambda message: _checked(json.dumps(cloudevent(message, source)), "application/cloudevents+json; charset=utf-8")


def cloudevent(message: Message, source: str) -> dict[str, Any]:
    """A CloudEvents 1.0 event in structured mode; its schema is configs/message.schema.json."""
    subject = f"camera/{message.camera}" if message.camera else "system"
    extra = {"earlierundelivered": True} if message.earlier_dead else {}
    return {
        "specversion": "1.0",
        "id": message.id,
        "source": source,
        "type": TYPE_PREFIX + message.type,
        "subject": subject,
        "time": message.content["time"],
        "datacontenttype": _JSON,
        **extra,
        "data": message.content,
    }


def alert(message: Message) -> dict[str, Any]:
    """One alert as Alertmanager has it: the same labels for all messages of an event, so that its end resolves it."""
    content = message.content
    labels = {"alertname": message.type.partition(".")[0], "camera": message.camera, "event": message.subject}
    labels |= {name: str(content[name]) for name in ("severity", "zone") if content.get(name)}
    ended = {} if message.type in _ONGOING else {"endsAt": content.get("end") or content["time"]}
    return {
        "labels": labels,
        "annotations": {"summary": sentence(message)},
        "startsAt": content.get("start") or content["time"],
        **ended,
        "generatorURL": content.get("links", {}).get("event", ""),
    }


def webhook_v4(message: Message, source: str) -> dict[str, Any]:
    """What Alertmanager itself posts to a webhook, version 4: for tools that read that."""
    one = alert(message)
    status = "resolved" if "endsAt" in one else "firing"
    alerts = [{**one, "endsAt": one.get("endsAt", "0001-01-01T00:00:00Z"), "status": status, "fingerprint": message.subject}]
    return {
        "version": "4",
        "groupKey": f"{{}}:{{event={json.dumps(message.subject)}}}",
        "truncatedAlerts": 0,
        "status": status,
        "receiver": "streamwatch",
        "groupLabels": {"event": message.subject},
        "commonLabels": one["labels"],
        "commonAnnotations": one["annotations"],
        "externalURL": source,
        "alerts": alerts,
    }


def sentence(message: Message) -> str:
    """A message in words."""
    content, camera = message.content, message.camera
    where = f" in zone {content['zone']}" if content.get("zone") else ""
    provisional = " (threshold provisional)" if content.get("provisional") else ""
    texts: dict[str, str] = {
        EventType.ANOMALY_STARTED: f"{content.get('severity', 'warning')}: {camera} shows something new{where}{provisional}",
        EventType.ANOMALY_UPDATED: f"{camera}: it goes on{where}",
        EventType.ANOMALY_ENDED: f"{camera}: it is over{where}, peak {content.get('peak_score')} ({content.get('reason')})",
        EventType.CAMERA_OFFLINE: f"{camera} is silent",
        EventType.CAMERA_UNUSABLE: f"{camera} sends pictures of which none can be used ({content.get('reason')})",
        EventType.CAMERA_ONLINE: f"{camera} is back",
        EventType.CAMERA_TAMPER: f"{camera}: {content.get('tamper')} {'begins' if content.get('active') else 'is over'}",
        EventType.MODEL_DRIFT: f"{camera}: the scene {'has drifted' if content.get('active') else 'is as it was learned'}",
        EventType.MODEL_READY: f"{camera} was watched long enough: its alarm budget holds from now on",
        EventType.SYSTEM_HEARTBEAT: "streamwatch is running",
    }
    known = texts.get(message.type) or str(content.get("text") or f"{message.type} {camera}".strip())
    return f"{known} at {content['time']}"


def _templated(text: str) -> Render:
    try:
        template = BoundedEnvironment().from_string(text)
    except (TemplateError, RecursionError, UnicodeError) as error:
        raise ConfigError(f"the webhook's template is not valid ({error})") from None

    def render(message: Message) -> Body:
        values = {"message": message, "data": message.content, "type": message.type, "camera": message.camera}
        try:
            body = template.render(**values, sentence=sentence(message))
        except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError) as error:
            raise DeliveryError(f"the template fails ({error.__class__.__name__}: {error})") from None
        return _checked(body, _JSON if body.lstrip()[:1] in ("{", "[") else "text/plain; charset=utf-8")

    return render


def _checked(text: str, content_type: str) -> Body:
    try:
        content = text.encode()
    except UnicodeError:
        raise DeliveryError("its body holds half a character") from None
    if len(content) > MAX_BODY_BYTES:
        raise DeliveryError(f"its body is {len(content)} bytes, and {MAX_BODY_BYTES} are the most")
    return Body(content, content_type)
