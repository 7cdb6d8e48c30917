"""A real Alertmanager takes what is posted to it, and an event's end resolves its alert."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from streamwatch.alerts.manager import DeliveryManager
from streamwatch.alerts.router import NotificationRouter
from streamwatch.clock import SystemClock
from streamwatch.config.schema import Alerts
from streamwatch.documents import iso_time
from streamwatch.enums import EventType
from streamwatch.metrics import Metrics
from streamwatch.records import EventChange
from streamwatch.store.administration import OutboxAdministration
from streamwatch.store.event_store import EventStore
from streamwatch.store.leases import Outbox
from streamwatch.store.sessions import open_database
from streamwatch.threads import ThreadGuard
from tests.store.test_event_store import ended, event

READY_WITHIN_S = 30.0
CONFIG = "route: {receiver: none}\nreceivers: [{name: none}]\n"


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
    (firing,) = alerts_of(alertmanager)
    assert firing["labels"] == {"alertname": "anomaly", "camera": "yard", "event": opened.id, "severity": "warning"}
    assert firing["status"]["state"] == "active"
    assert firing["startsAt"][:19] == iso_time(opened.start_wall_s)[:19]
    assert "yard shows something new" in firing["annotations"]["summary"]
    store.record(EventChange(EventType.ANOMALY_ENDED, ended(opened), time.time()))
    assert deliveries.drain(10)
    deliveries.stop()
    assert alerts_of(alertmanager, active="true") == []
    engine.dispose()
