"""A real Alertmanager takes what is posted to it, and an event's end resolves its alert."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from streamwatch.alerts.bodies.alertmanager import REPEAT_S
from streamwatch.alerts.manager import DeliveryManager
from streamwatch.alerts.router import NotificationRouter
from streamwatch.clock import SystemClock
from streamwatch.config.schema import Alerts
from streamwatch.documents import iso_time
from streamwatch.enums import EventType, Severity
from streamwatch.ids import uuid7
from streamwatch.metrics import Metrics
from streamwatch.records import EventChange, Notice
from streamwatch.store.event_store import EventStore
from streamwatch.store.outbox.administration import OutboxAdministration
from streamwatch.store.outbox.leases import Outbox
from streamwatch.store.sessions import open_database
from streamwatch.threads import ThreadGuard
from tests.store.test_event_store import ended, event

READY_WITHIN_S = 30.0
CONFIG = "global: {resolve_timeout: 2s}\nroute: {receiver: none}\nreceivers: [{name: none}]\n"
"""Far shorter than anything that is tested goes on, as the usual five minutes are for a real night."""


@pytest.fixture(scope="module")
def alertmanager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a running Alertmanager."""
    program = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    if program is None:
        pytest.skip("skipped: no Alertmanager on this machine (Debian package prometheus-alertmanager)")
    folder = tmp_path_factory.mktemp("alertmanager")
    (folder / "config.yml").write_text(CONFIG)
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    options = [f"--config.file={folder}/config.yml", f"--storage.path={folder}/data", f"--web.listen-address={address}"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, *options, "--cluster.listen-address="], stdout=log, stderr=log)
    try:
        _wait_until_ready(f"http://{address}")
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(10)


def _wait_until_ready(url: str) -> None:
    until_s = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < until_s:
        try:
            if httpx.get(f"{url}/-/ready", trust_env=False).is_success:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    pytest.fail("Alertmanager did not come up")


def alerts_of(url: str, **query: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = httpx.get(f"{url}/api/v2/alerts", params=query, trust_env=False).raise_for_status().json()
    return found


class Site:
    """A store whose messages go to the Alertmanager, on a clock that can be set forward."""

    def __init__(self, folder: Path, url: str) -> None:
        webhook = {"name": "am", "url": f"{url}/api/v2/alerts", "format": "alertmanager", "events": ["*"]}
        alerts, self.clock = Alerts.model_validate({"webhooks": [webhook]}), AheadClock()
        router, self.engine = NotificationRouter(alerts, SystemClock()), open_database(None, folder)
        self.store, outbox = EventStore(self.engine, router), Outbox(self.engine)
        self.deliveries = DeliveryManager(
            alerts, outbox, OutboxAdministration(self.engine), router, metrics=Metrics(), clock=self.clock
        )
        self.deliveries.start(ThreadGuard(SystemClock()))

    def tell(self, kind: EventType, **detail: str | float | bool) -> None:
        now_s = time.time()
        self.store.record_notice(Notice(uuid7(now_s), kind, "gate", now_s, tuple(detail.items())))
        assert self.deliveries.drain(10)

    def close(self) -> None:
        self.deliveries.stop()
        self.engine.dispose()


class AheadClock(SystemClock):
    """The system's, with a monotonic time that a test moves."""

    ahead_s = 0.0

    def monotonic_s(self) -> float:
        return super().monotonic_s() + self.ahead_s


def active(url: str) -> dict[str, dict[str, Any]]:
    """What fires now, by condition or name."""
    return {str(one["labels"].get("condition") or one["labels"]["alertname"]): one for one in alerts_of(url, active="true")}


def test_a_camera_that_is_offline_fires_until_it_is_back_and_not_only_until_alertmanager_forgets(
    alertmanager: str, tmp_path: Path
) -> None:
    site = Site(tmp_path, alertmanager)
    site.tell(EventType.CAMERA_OFFLINE, silent_s=31.0)
    time.sleep(4)  # twice what this Alertmanager waits; it has no clock to inject
    first = active(alertmanager)["offline"]
    site.clock.ahead_s += REPEAT_S
    site.deliveries.beat()
    until_s = time.monotonic() + 10
    while active(alertmanager)["offline"]["endsAt"] == first["endsAt"]:
        assert time.monotonic() < until_s, "it was not sent again"
        time.sleep(0.1)
    assert active(alertmanager)["offline"]["startsAt"] == first["startsAt"]
    site.tell(EventType.CAMERA_ONLINE, silent_s=40.0)
    assert "offline" not in active(alertmanager)
    site.clock.ahead_s += REPEAT_S
    site.deliveries.beat()
    assert "offline" not in active(alertmanager)
    site.close()


def test_tampering_fires_until_it_is_over_and_a_test_fires_too(alertmanager: str, tmp_path: Path) -> None:
    site = Site(tmp_path, alertmanager)
    site.tell(EventType.CAMERA_TAMPER, tamper="ImageTooDark", active=True)
    assert active(alertmanager)["tamper"]["labels"]["what"] == "ImageTooDark"
    site.tell(EventType.CAMERA_TAMPER, tamper="ImageTooDark", active=False)
    assert "tamper" not in active(alertmanager)
    site.tell(EventType.SYSTEM_TEST)
    assert "test" in active(alertmanager)
    site.close()


def test_an_event_that_becomes_more_severe_is_one_alert_at_a_time(alertmanager: str, tmp_path: Path) -> None:
    site = Site(tmp_path, alertmanager)
    opened = event(time.time() - 6, "lane")
    worse = replace(opened, severity=Severity.ALERT)
    for kind, now, severities in (
        (EventType.ANOMALY_STARTED, opened, ["warning"]),
        (EventType.ANOMALY_UPDATED, worse, ["alert"]),
        (EventType.ANOMALY_ENDED, replace(ended(opened), severity=Severity.ALERT), []),
    ):
        site.store.record(EventChange(kind, now, time.time()))
        assert site.deliveries.drain(10)
        of_lane = [one for one in alerts_of(alertmanager, active="true") if one["labels"]["camera"] == "lane"]
        assert [one["labels"]["severity"] for one in of_lane] == severities
    site.close()


def test_a_real_alertmanager_fires_and_resolves(alertmanager: str, tmp_path: Path) -> None:
    alerts = Alerts.model_validate(
        {"webhooks": [{"name": "am", "url": f"{alertmanager}/api/v2/alerts", "format": "alertmanager"}]}
    )
    router, engine = NotificationRouter(alerts, SystemClock()), open_database(None, tmp_path)
    store = EventStore(engine, router)
    deliveries = DeliveryManager(
        alerts, Outbox(engine), OutboxAdministration(engine), router, metrics=Metrics(), clock=SystemClock()
    )
    deliveries.start(ThreadGuard(SystemClock()))
    opened = event(time.time() - 6, "yard")
    store.record(EventChange(EventType.ANOMALY_STARTED, opened, opened.start_wall_s))
    assert deliveries.drain(10)
    (firing,) = [one for one in alerts_of(alertmanager) if one["labels"]["camera"] == "yard"]
    assert firing["labels"] == {"alertname": "anomaly", "camera": "yard", "event": opened.id, "severity": "warning"}
    assert firing["status"]["state"] == "active"
    assert firing["startsAt"][:19] == iso_time(opened.start_wall_s)[:19]
    assert "yard shows something new" in firing["annotations"]["summary"]
    store.record(EventChange(EventType.ANOMALY_ENDED, ended(opened), time.time()))
    assert deliveries.drain(10)
    deliveries.stop()
    assert "yard" not in [one["labels"]["camera"] for one in alerts_of(alertmanager, active="true")]
    engine.dispose()
