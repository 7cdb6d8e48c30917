"""From an event's change to a receiver: planned by filters, written with the event, delivered, shown in the metrics."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from streamwatch.alerts.manager import DeliveryManager
from streamwatch.alerts.router import NotificationRouter, links_to, no_links
from streamwatch.clock import SystemClock
from streamwatch.config.schema import Alerts
from streamwatch.enums import EventType, Severity
from streamwatch.errors import ConfigError
from streamwatch.ids import uuid7
from streamwatch.metrics import Metrics
from streamwatch.records import EventChange, Notice
from streamwatch.store.event_store import EventStore
from streamwatch.store.outbox.administration import OutboxAdministration
from streamwatch.store.outbox.leases import Outbox
from streamwatch.store.sessions import open_database
from streamwatch.threads import ThreadGuard
from tests.conftest import REPOSITORY
from tests.store.test_event_store import ended, event
from tools.receiver import Receiver, running_receiver, status

SCHEMA = json.loads((REPOSITORY / "configs/message.schema.json").read_text())


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running_receiver() as receiver:
        yield receiver


class Desk:
    """A store that plans, and what delivers from it."""

    def __init__(self, folder: Path, webhooks: list[dict[str, Any]]) -> None:
        self.alerts = Alerts.model_validate({"webhooks": webhooks})
        self.router = NotificationRouter(self.alerts, SystemClock(), links_to("https://cameras.example.org/"))
        engine = open_database(None, folder)
        self.store, self.outbox, self.metrics = EventStore(engine, self.router), Outbox(engine), Metrics()
        self.administration = OutboxAdministration(engine)
        self.deliveries = DeliveryManager(
            self.alerts, self.outbox, self.administration, self.router, metrics=self.metrics, clock=SystemClock()
        )

    def happen(self, camera: str = "cam", severity: Severity = Severity.WARNING) -> str:
        opened = replace(event(time.time(), camera), severity=severity)
        self.store.record(EventChange(EventType.ANOMALY_STARTED, opened, opened.start_wall_s))
        self.store.record(EventChange(EventType.ANOMALY_ENDED, ended(opened), opened.start_wall_s + 5))
        return opened.id

    def sample(self, name: str, **labels: str) -> float | None:
        self.deliveries.refresh()  # as the daemon does twice a second
        return self.metrics.registry.get_sample_value(f"streamwatch_{name}", labels)

    @property
    def planned(self) -> list[tuple[str, str, str]]:
        return [(m.endpoint, m.camera, m.type) for m in reversed(self.administration.list_messages())]


def test_an_event_reaches_its_receiver_as_the_schema_says(tmp_path: Path, receiver: Receiver) -> None:
    desk = Desk(tmp_path, [{"name": "ops", "url": receiver.url, "events": ["*"]}])
    event_id = desk.happen()
    desk.store.record_notice(Notice(uuid7(time.time()), EventType.CAMERA_OFFLINE, "cam", time.time(), (("silent_s", 31.0),)))
    assert desk.sample("outbox_pending", endpoint="ops") == 3
    assert desk.sample("outbox_oldest_timestamp_seconds", endpoint="ops") == pytest.approx(time.time(), abs=5)
    desk.deliveries.start(ThreadGuard(SystemClock()))
    assert desk.deliveries.drain(10)
    desk.deliveries.stop()
    events = [request.event for request in receiver.received]
    for one in events:
        jsonschema.validate(one, SCHEMA, format_checker=jsonschema.FormatChecker())
    assert sorted(e["type"] for e in events) == [
        "streamwatch.anomaly.ended",
        "streamwatch.anomaly.started",
        "streamwatch.camera.offline",
    ]
    last = next(e for e in events if e["type"].endswith("anomaly.ended"))
    base = "https://cameras.example.org"
    assert last["data"]["links"] == {
        "start": f"{base}/starts/{event_id}.jpg",
        "clip": f"{base}/clips/{event_id}.mp4",
        "scores": f"{base}/scores/{event_id}.svg",
        "peak": f"{base}/peaks/{event_id}.jpg",
        "snapshot": f"{base}/snapshots/{event_id}.jpg",
        "evidence": f"{base}/evidence/{event_id}.json",
    }
    assert desk.sample("outbox_pending", endpoint="ops") == 0
    assert desk.sample("outbox_oldest_timestamp_seconds", endpoint="ops") is None
    assert desk.sample("delivery_attempts_total", endpoint="ops", result="delivered") == 3
    assert desk.sample("frame_latency_seconds_count", stage="event_to_delivery") == 3


def test_a_message_of_a_recordings_future_is_sent_now(tmp_path: Path, receiver: Receiver) -> None:
    """Read unpaced, an hour of footage is over in minutes, and its events lie ahead."""
    desk = Desk(tmp_path, [{"name": "ops", "url": receiver.url}])
    ahead = event(time.time() + 3600)
    desk.store.record(EventChange(EventType.ANOMALY_STARTED, ahead, ahead.start_wall_s))
    desk.deliveries.start(ThreadGuard(SystemClock()))
    assert desk.deliveries.drain(5)
    desk.deliveries.stop()


def test_filters_say_who_is_told(tmp_path: Path) -> None:
    url = "https://example.org"
    desk = Desk(
        tmp_path,
        [
            {"name": "all", "url": url},
            {"name": "alerts", "url": url, "severity": "alert"},
            {"name": "north", "url": url, "cameras": ["north-*"], "events": ["anomaly.*"]},
            {"name": "faults", "url": url, "events": ["camera.*"]},
            {"name": "never", "url": url, "schedule": ["Mon 00:00-00:01"]},
        ],
    )
    desk.happen("north-1")
    desk.happen("south", Severity.ALERT)
    desk.store.record_notice(Notice(uuid7(time.time()), EventType.CAMERA_ONLINE, "south", time.time()))
    desk.deliveries.stop()
    told = {name: [p[1:] for p in desk.planned if p[0] == name] for name in ("all", "alerts", "north", "faults")}
    assert told["all"] == [(c, t) for c in ("north-1", "south") for t in ("anomaly.started", "anomaly.ended")]
    assert told["alerts"] == [("south", "anomaly.started"), ("south", "anomaly.ended")]
    assert {camera for camera, _ in told["north"]} == {"north-1"}
    assert told["faults"] == [("south", "camera.online")]


def test_a_heartbeat_goes_out_and_none_piles_up(tmp_path: Path, receiver: Receiver) -> None:
    desk = Desk(tmp_path, [{"name": "ops", "url": receiver.url, "heartbeat": "1ms"}])
    for _ in range(3):
        desk.deliveries.beat()
        time.sleep(0.002)
    assert [p[2] for p in desk.planned] == ["system.heartbeat"]
    desk.deliveries.start(ThreadGuard(SystemClock()))
    assert desk.deliveries.drain(10)
    desk.deliveries.stop()
    jsonschema.validate(receiver.received[0].event, SCHEMA)


def test_what_is_not_taken_is_not_waited_for_longer_than_the_drain(tmp_path: Path, receiver: Receiver) -> None:
    receiver.default = status(503)
    desk = Desk(tmp_path, [{"name": "ops", "url": receiver.url}])
    desk.happen()
    desk.deliveries.start(ThreadGuard(SystemClock()))
    assert not desk.deliveries.drain(0.5)
    desk.deliveries.stop()
    assert desk.sample("outbox_pending", endpoint="ops") == 2


def endpoints(*webhooks: dict[str, str]) -> Alerts:
    return Alerts.model_validate({"webhooks": webhooks})


def test_other_endpoints_take_over_and_wrong_ones_change_nothing(tmp_path: Path, receiver: Receiver) -> None:
    desk = Desk(tmp_path, [{"name": "ops", "url": receiver.url}])
    desk.deliveries.start(ThreadGuard(SystemClock()))
    with pytest.raises(ConfigError, match="secret"):
        desk.deliveries.follow(endpoints({"name": "x", "url": receiver.url, "secret": "short"}), (), no_links)
    desk.deliveries.follow(endpoints({"name": "new", "url": receiver.url}), (), no_links)
    desk.happen()
    assert desk.deliveries.drain(10)
    desk.deliveries.stop()
    assert {p[0] for p in desk.planned} == {"new"}
