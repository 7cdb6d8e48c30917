"""What a message looks like to its receiver: CloudEvents 1.0, Alertmanager, Slack, or a template of the user's."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from jinja2 import TemplateError

from streamwatch.alerts.bodies.alertmanager import alerts, webhook_v4
from streamwatch.alerts.bodies.bounded_templates import BoundedEnvironment
from streamwatch.clock import Clock, SystemClock
from streamwatch.enums import EventType
from streamwatch.errors import ConfigError, DeliveryError
from streamwatch.store.outbox.messages import Message

Format = Literal["cloudevents", "alertmanager", "slack", "template"]
TYPE_PREFIX = "streamwatch."
MAX_BODY_BYTES = 262_144
ALERTMANAGER_API = "/api/v2/alerts"
_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Body:
    """What is posted."""

    content: bytes
    content_type: str


Render = Callable[[Message], Body]


def renderer(
    form: Format, *, url: str = "", source: str = "streamwatch", template: str | None = None, clock: Clock | None = None
) -> Render:
    """How messages are made into bodies of a format.

    Args:
        url: of the endpoint; an Alertmanager's own API takes another body than receivers of its webhooks.
        source: the CloudEvents source, and the Alertmanager's external URL.
        template: of the ``template`` format.
        clock: tells an Alertmanager until when an alert holds.

    Raises:
        ConfigError: the template is none.
    """
    if form == "template":
        return _templated(template or "")
    if form == "slack":
        return lambda message: _checked(json.dumps({"text": sentence(message)}), _JSON)
    if form == "alertmanager":
        clock = clock or SystemClock()
        push = url.partition("?")[0].rstrip("/").endswith(ALERTMANAGER_API)
        return partial(_for_alertmanager, source=source, clock=clock, push=push)
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


def _for_alertmanager(message: Message, *, source: str, clock: Clock, push: bool) -> Body:
    now_s = clock.wall_s()
    shape = alerts(message, now_s, sentence) if push else webhook_v4(message, source, now_s, sentence)
    return _checked(json.dumps(shape), _JSON)


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
