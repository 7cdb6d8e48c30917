"""Publishing to a real mosquitto: states are retained, the last will is told, and a broker that dies costs nothing."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion
from pydantic import ValidationError

from streamwatch.alerts.manager import DeliveryManager
from streamwatch.alerts.router import NotificationRouter, no_links
from streamwatch.alerts.sender import SendingOptions
from streamwatch.clock import SystemClock
from streamwatch.config.schema import Alerts
from streamwatch.enums import EventType
from streamwatch.ids import uuid7
from streamwatch.metrics import Metrics
from streamwatch.records import EventChange, Notice
from streamwatch.store.event_store import EventStore
from streamwatch.store.outbox.administration import OutboxAdministration
from streamwatch.store.outbox.leases import Outbox
from streamwatch.store.sessions import open_database
from streamwatch.threads import ThreadGuard
from tests.store.test_event_store import ended, event

WITHIN_S = 20.0
EVENTS = 150
UNDER_WAY = 2 * SendingOptions().concurrency


class Broker:
    """A mosquitto that can be killed and started again, its port and its state kept."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._config = folder / "mosquitto.conf"
        self._config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location {folder}/\n"
            "autosave_on_changes true\nautosave_interval 1\nmax_queued_messages 0\nuser root\n"
        )
        self._program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._process = subprocess.Popen([self._program, "-c", str(self._config)], stderr=subprocess.DEVNULL)
        wait_for(self._answers)

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def wait_for(true: Callable[[], bool]) -> None:
    until_s = time.monotonic() + WITHIN_S
    while not true():
        assert time.monotonic() < until_s, "not in time"
        time.sleep(0.02)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    if not (shutil.which("mosquitto") or Path("/usr/sbin/mosquitto").exists()):
        pytest.skip("skipped: no mosquitto on this machine (Debian package mosquitto)")
    tmp_path.chmod(0o777)
    broker = Broker(tmp_path)
    broker.start()
    yield broker
    broker.kill()


class Listener:
    """Subscribes to everything, under a name that the broker remembers."""

    def __init__(self, broker: Broker, name: str = "listener") -> None:
        self.heard: list[tuple[str, bytes, bool]] = []
        self._lock = threading.Lock()
        self._client = Client(CallbackAPIVersion.VERSION2, client_id=name, clean_session=False)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_message = self._take
        self._client.on_connect = lambda client, *_: client.subscribe("#", 1)
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()

    def _take(self, _client: Client, _userdata: Any, message: MQTTMessage) -> None:
        with self._lock:
            self.heard.append((message.topic, bytes(message.payload), message.retain))

    def last(self, topic: str) -> bytes | None:
        with self._lock:
            return next((payload for at, payload, _ in reversed(self.heard) if at == topic), None)

    def events(self) -> list[dict[str, Any]]:
        with self._lock:
            return [json.loads(payload) for topic, payload, _ in self.heard if topic.startswith("site/events/")]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


class Desk:
    """A store whose messages go to the broker."""

    def __init__(self, folder: Path, url: str) -> None:
        self.alerts = Alerts.model_validate({"mqtt": {"url": url, "topic": "site", "timeout": "2s"}})
        router = NotificationRouter(self.alerts, SystemClock())
        self.engine = open_database(None, folder)
        self.store, self.outbox = EventStore(self.engine, router), Outbox(self.engine)
        self.administration = OutboxAdministration(self.engine)
        self.deliveries = DeliveryManager(
            self.alerts, self.outbox, self.administration, router, metrics=Metrics(), clock=SystemClock(), cameras=("yard",)
        )
        self.deliveries.start(ThreadGuard(SystemClock()))

    def close(self) -> None:
        self.deliveries.stop()
        self.engine.dispose()


@pytest.fixture
def desk(tmp_path: Path, broker: Broker) -> Iterator[Desk]:
    desk = Desk(tmp_path / "data", broker.url)
    yield desk
    desk.close()


def test_states_are_retained_and_messages_are_cloudevents(broker: Broker, desk: Desk) -> None:
    listener, opened = Listener(broker), event(time.time(), "yard")
    desk.store.record(EventChange(EventType.ANOMALY_STARTED, opened, time.time()))
    wait_for(lambda: listener.last("site/cameras/yard/anomaly") == b"ON")
    desk.store.record(EventChange(EventType.ANOMALY_ENDED, ended(opened), time.time()))
    desk.store.record_notice(Notice("0" * 36, EventType.CAMERA_OFFLINE, "yard", time.time()))
    wait_for(lambda: listener.last("site/cameras/yard/connection") == b"offline")
    assert desk.deliveries.drain(WITHIN_S)
    wait_for(lambda: len(listener.events()) == 3)
    told = [e["type"] for e in listener.events()]
    assert [kind for kind in told if "anomaly" in kind] == ["streamwatch.anomaly.started", "streamwatch.anomaly.ended"]
    late = Listener(broker, "late")
    wait_for(lambda: late.last("site/cameras/yard/anomaly") == b"OFF")
    wait_for(lambda: late.last("site/status") == b"online")
    announced = json.loads(late.last("homeassistant/device/site/config") or b"{}")
    assert announced["components"]["yard_anomaly"]["state_topic"] == "site/cameras/yard/anomaly"
    assert announced["availability_topic"] == "site/status"
    assert all(retained for _, _, retained in late.heard)
    for one in (listener, late):
        one.close()


def test_what_is_retained_is_what_is_so_after_an_outage_whatever_the_messages_say(broker: Broker, desk: Desk) -> None:
    broker.kill()
    for kind in (EventType.CAMERA_OFFLINE, EventType.CAMERA_ONLINE):
        desk.store.record_notice(Notice(uuid7(time.time()), kind, "yard", time.time()))
    opened = event(time.time(), "yard")
    desk.store.record(EventChange(EventType.ANOMALY_STARTED, opened, time.time()))
    desk.store.record(EventChange(EventType.ANOMALY_ENDED, ended(opened), time.time()))
    broker.start()
    listener = Listener(broker)
    assert desk.deliveries.drain(2 * WITHIN_S)
    wait_for(lambda: len(listener.events()) == 4)
    assert listener.last("site/cameras/yard/connection") == b"online"
    assert listener.last("site/cameras/yard/anomaly") == b"OFF"
    told = [e["type"].removeprefix("streamwatch.") for e in listener.events() if "camera" in e["type"]]
    assert told == ["camera.offline", "camera.online"]
    listener.close()


def test_a_calm_camera_has_a_state_and_one_that_is_removed_has_none(broker: Broker, desk: Desk) -> None:
    desk.deliveries.present.connected("yard")
    listener = Listener(broker)
    wait_for(lambda: listener.last("site/cameras/yard/connection") == b"online")
    wait_for(lambda: listener.last("site/cameras/yard/anomaly") == b"OFF")
    desk.deliveries.follow(desk.alerts, ("gate",), no_links)
    wait_for(lambda: listener.last("site/cameras/yard/anomaly") == b"")
    late = Listener(broker, "late")
    wait_for(lambda: late.last("site/status") == b"online")
    assert late.last("site/cameras/yard/connection") is None
    for one in (listener, late):
        one.close()


def test_who_leaves_says_so_and_who_dies_is_said_so_of(broker: Broker, tmp_path: Path) -> None:
    listener = Listener(broker)
    first = Desk(tmp_path / "first", broker.url)
    wait_for(lambda: listener.last("site/status") == b"online")
    first.close()
    wait_for(lambda: listener.last("site/status") == b"offline")
    second = Desk(tmp_path / "second", broker.url)
    wait_for(lambda: listener.last("site/status") == b"online")
    transport: Any = second.deliveries._senders[0]._transport
    transport._client.socket().shutdown(socket.SHUT_RDWR)  # as if the process had died: no DISCONNECT
    wait_for(lambda: listener.heard.count(("site/status", b"offline", False)) == 2)
    second.close()
    listener.close()


def test_a_broker_that_is_killed_in_mid_stream_costs_nothing(broker: Broker, desk: Desk) -> None:
    listener = Listener(broker)
    wait_for(lambda: listener.last("site/status") == b"online")
    opened = [event(time.time() + n, "yard") for n in range(EVENTS)]
    for one in opened:
        desk.store.record(EventChange(EventType.ANOMALY_STARTED, one, time.time()))
        desk.store.record(EventChange(EventType.ANOMALY_ENDED, ended(one), time.time()))
    wait_for(lambda: len(listener.events()) > EVENTS // 3)
    broker.kill()
    time.sleep(0.5)
    broker.start()
    messages = desk.administration.list_messages(limit=10_000)
    acknowledged = {m.id for m in messages if m.state == "delivered"}
    assert len(acknowledged) < 2 * EVENTS, "the broker was killed too late to matter"
    assert desk.deliveries.drain(60)
    wait_for(lambda: len({e["id"] for e in listener.events()} | acknowledged) == 2 * EVENTS)
    # What the broker had taken and not passed on when it was killed is gone with it: no more than was under way at once.
    assert len(acknowledged - {e["id"] for e in listener.events()}) <= UNDER_WAY
    for one in opened:
        types = [e["type"].rpartition(".")[2] for e in listener.events() if e["data"]["id"] == one.id]
        assert types == sorted(types, reverse=True), types
    listener.close()


@pytest.mark.parametrize("url", ["http://x", "mqtt://", "x"])
def test_what_is_no_brokers_url_is_refused_without_being_shown(tmp_path: Path, url: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Desk(tmp_path, url)
    assert "mqtt.url\n  Value error, must be mqtt://HOST or mqtts://HOST [" in str(refused.value)
