"""Bodies: CloudEvents, Alertmanager, Slack, and templates that cannot reach out of their sandbox."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any

import pytest

from streamwatch.alerts.bodies.alertmanager import REPEAT_S
from streamwatch.alerts.bodies.formats import MAX_BODY_BYTES, Format, renderer
from streamwatch.documents import iso_time
from streamwatch.enums import MessageState
from streamwatch.errors import ConfigError, DeliveryError
from streamwatch.store.outbox.messages import Message

TIME, START, END = "2026-03-01T12:00:05.000Z", "2026-03-01T12:00:00.000Z", "2026-03-01T12:00:04.000Z"
STARTED = Message(
    7, "msg-1", "ops", "event-1", "anomaly.started", "yard",
    {"type": "anomaly.started", "time": TIME, "camera": "yard", "severity": "alert", "start": START, "end": None,
     "zone": "gate"},
    0.0, 0.0, 0, MessageState.PENDING,
)  # fmt: skip
ENDED = replace(
    STARTED,
    id="msg-2",
    type="anomaly.ended",
    content={**STARTED.content, "type": "anomaly.ended", "end": END, "peak_score": 12.5, "reason": "normal"},
)


def rendered(form: Format, message: Message, **options: Any) -> Any:
    return json.loads(renderer(form, **options)(message).content)


def test_a_cloudevent_has_all_that_the_specification_asks_for() -> None:
    event = rendered("cloudevents", STARTED, source="urn:here")
    required = {"specversion": "1.0", "id": "msg-1", "source": "urn:here", "type": "streamwatch.anomaly.started"}
    assert required.items() <= event.items()
    assert (event["subject"], event["time"], event["data"]) == ("camera/yard", TIME, STARTED.content)
    assert "earlierundelivered" not in event
    assert rendered("cloudevents", replace(STARTED, earlier_dead=True))["earlierundelivered"] is True
    assert renderer("cloudevents")(STARTED).content_type.startswith("application/cloudevents+json")


def test_an_alert_is_resolved_by_the_end_of_the_same_event() -> None:
    (fires,), (resolves, lesser) = (rendered("alertmanager", m, url="http://am:9093/api/v2/alerts") for m in (STARTED, ENDED))
    assert fires["labels"] == resolves["labels"]
    assert fires["labels"] == {
        "alertname": "anomaly",
        "camera": "yard",
        "event": "event-1",
        "severity": "alert",
        "zone": "gate",
    }
    assert fires["endsAt"] > iso_time(time.time() + 2 * REPEAT_S)
    assert resolves["endsAt"] == END
    assert fires["startsAt"] == START
    assert (lesser["labels"]["severity"], lesser["endsAt"]) == ("warning", END)


def pushed(kind: str, **content: object) -> list[tuple[str, bool]]:
    """What an Alertmanager is told by a message: conditions, and whether each goes on."""
    content = {"type": kind, "time": iso_time(time.time()), **content}
    told = rendered("alertmanager", replace(STARTED, type=kind, content=content), url="http://am:9093/api/v2/alerts")
    assert all(set(one["labels"]) <= {"alertname", "camera", "condition", "what"} for one in told)
    return [(one["labels"]["condition"], one["endsAt"] > iso_time(time.time() + REPEAT_S)) for one in told]


def test_every_condition_of_a_camera_has_one_identity_that_begins_and_ends() -> None:
    assert pushed("camera.offline", silent_s=31) == [("offline", True), ("unusable", False)]
    assert pushed("camera.unusable", reason="corrupt") == [("unusable", True), ("offline", False)]
    assert pushed("camera.online", silent_s=31) == [("offline", False), ("unusable", False)]
    for kind, condition in (("camera.tamper", "tamper"), ("model.drift", "drift"), ("system.degraded", "degraded")):
        assert pushed(kind, active=True) == [(condition, True)]
        assert pushed(kind, active=False) == [(condition, False)]


@pytest.mark.parametrize("kind", ["system.test", "system.digest", "model.ready"])
def test_what_has_no_duration_fires_for_a_while(kind: str) -> None:
    assert pushed(kind) == [(kind.partition(".")[2], True)]


def test_a_webhook_of_an_alertmanager_is_version_4() -> None:
    fires, resolves = (rendered("alertmanager", m, url="https://tool/hook") for m in (STARTED, ENDED))
    assert (fires["version"], fires["status"], resolves["status"]) == ("4", "firing", "resolved")
    assert fires["groupKey"] == resolves["groupKey"]
    assert fires["alerts"][0]["status"] == "firing"


def test_slack_gets_a_sentence() -> None:
    assert rendered("slack", STARTED) == {"text": f"alert: yard shows something new in zone gate at {TIME}"}
    assert "peak 12.5 (normal)" in rendered("slack", ENDED)["text"]


def test_a_template_is_the_users() -> None:
    body = renderer("template", template='{"camera": {{ camera | tojson }}, "t": {{ data.time | tojson }}}')(STARTED)
    assert json.loads(body.content) == {"camera": "yard", "t": TIME}
    assert body.content_type == "application/json"
    assert renderer("template", template="{{ sentence }}")(STARTED).content_type.startswith("text/plain")


@pytest.mark.parametrize(
    "template",
    [
        "{{ data.nothing }}",
        "{{ 1 / 0 }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ message.__init__.__globals__ }}",
        "{{ 'x' * 100000000000 }}",
        "{{ 10**9 * 'x' }}",
        "{{ [0] * 10**10 }}",
        "{{ 2 ** 10000000000 }}",
        "{{ '%99999999999d' % 1 }}",
        "{{ '%99999999999d' | format(1) }}",
        "{{ '%.*f' | format(99999999999, 1) }}",
        "{{ 'x' | center(99999999999) }}",
        "{{ 'x' | indent(99999999999, true) }}",
        "{{ 'x'.ljust(99999999999) }}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    ],
)
def test_a_template_that_fails_or_reaches_out_is_no_body(template: str) -> None:
    with pytest.raises(DeliveryError, match="template fails"):
        renderer("template", template=template)(STARTED)


def test_what_a_template_usually_says_is_rendered() -> None:
    figures = "{{ '%.1f of %d' | format(1.25, 12345) }} {{ '%s' % camera }} {{ '-' * 3 }} {{ 2 ** 8 }}"
    text = figures + " {{ 'ab' | center(6) }}| 10000 * 2"
    assert renderer("template", template=text)(STARTED).content == b"1.2 of 12345 yard --- 256   ab  | 10000 * 2"


def test_half_a_character_is_no_body() -> None:
    with pytest.raises(DeliveryError, match="half a character"):
        renderer("template", template="{{ '\\ud800' }}")(STARTED)


def test_a_template_that_is_none_is_a_mistake_of_the_configuration() -> None:
    with pytest.raises(ConfigError, match="not valid"):
        renderer("template", template="{% if %}")


def test_a_body_has_a_limit() -> None:
    large = replace(STARTED, content={**STARTED.content, "x": "y" * MAX_BODY_BYTES})
    with pytest.raises(DeliveryError, match="are the most"):
        renderer("cloudevents")(large)
