"""What is so now, and what goes on to be told."""

from __future__ import annotations

import time
from dataclasses import replace

from streamwatch.alerts.present import PresentState
from streamwatch.alerts.router import NotificationRouter
from streamwatch.clock import SystemClock
from streamwatch.config.schema import Alerts
from streamwatch.enums import EventType, Severity
from streamwatch.ids import uuid7
from streamwatch.records import EventChange, Notice
from tests.store.test_event_store import ended, event


def router_of(*events: str) -> NotificationRouter:
    webhook = {"name": "am", "url": "http://am/api/v2/alerts", "format": "alertmanager", "events": list(events)}
    return NotificationRouter(Alerts.model_validate({"webhooks": [webhook]}), SystemClock())


def notice(kind: EventType, camera: str = "yard") -> Notice:
    return Notice(uuid7(time.time()), kind, camera, time.time())


def standing(router: NotificationRouter) -> list[str]:
    return [message.type for message in router.present.standing({"am"})]


def test_an_event_goes_on_for_who_is_not_told_of_its_updates() -> None:
    router, opened = router_of("anomaly.started", "anomaly.ended"), event(time.time(), "yard")
    router.of_change(EventChange(EventType.ANOMALY_STARTED, opened, time.time()))
    router.of_change(EventChange(EventType.ANOMALY_UPDATED, replace(opened, severity=Severity.ALERT), time.time()))
    assert standing(router) == ["anomaly.started"]
    (message,) = router.present.standing({"am"})
    assert router.present.stands(message)
    router.of_change(EventChange(EventType.ANOMALY_ENDED, ended(opened), time.time()))
    assert standing(router) == []
    assert not router.present.stands(message)


def test_what_was_told_of_a_camera_that_is_watched_no_more_is_not_told_again() -> None:
    router = router_of("*")
    for camera in ("yard", "gate"):
        router.of_notice(notice(EventType.CAMERA_OFFLINE, camera))
    router.present.forget("yard")
    assert [message.camera for message in router.present.standing({"am"})] == ["gate"]
    router.present.keep(())
    assert standing(router) == []


def test_states_are_told_once_each_and_all_of_them_to_who_asks() -> None:
    present, told, asked = PresentState(), list[tuple[str, str, str]](), list[tuple[str, str, str]]()

    def listener(*state: str) -> None:
        told.append((state[0], state[1], state[2]))

    present.listen(listener)
    for _ in range(3):
        present.connected("yard")
    present.follow_notice(notice(EventType.CAMERA_UNUSABLE))
    assert told == [("yard", "connection", "online"), ("yard", "anomaly", "OFF"), ("yard", "connection", "offline")]
    present.tell_all(lambda *state: asked.append(state))
    assert asked == [("yard", "connection", "offline"), ("yard", "anomaly", "OFF")]
    present.forget_listeners([listener])
    present.connected("yard")
    assert len(told) == 3
