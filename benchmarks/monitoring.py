"""A real Prometheus scrapes a real daemon with simulated cameras while faults are injected: alerts fire, and clear.

python -m benchmarks.monitoring [--hurry 1]

With ``--hurry 20`` the rules' ``for`` are a twentieth as long; ranges and limits stay as they are.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

from benchmarks.results import Figure, record
from benchmarks.site import FEW_DIMS, RATE_HZ, courtyard_loop, learn, site_config
from streamwatch.simulator.faults import Fault
from streamwatch.simulator.media import encode_track
from streamwatch.simulator.server import SimulatedCamera
from tools.footage import REPOSITORY
from tools.receiver import Receiver, running_receiver, status

RULES = REPOSITORY / "deploy/prometheus/streamwatch.rules.yml"
STARTS_WITHIN_S = 90.0
SLACK_S = 25.0
"""Scrapes, evaluations, time-outs of the cameras and their back-off, on a busy machine."""
LASTS_S = 18.0
"""How much longer than its rule asks a fault lasts."""
NEXT_TRY_S = 600.0
"""After a fourth attempt that failed the fifth is 10 minutes later: when the receiver is well again, that long is waited."""
EXPECTED_ANYHOW = {"StreamwatchWatchdog"}


def free_port() -> int:
    """A port that nobody has just now."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def hurried(text: str, hurry: float) -> str:
    """The rules with every ``for`` so many times shorter, at least a second."""
    units_s = {"s": 1, "m": 60, "h": 3600, "d": 86400}

    def shorter(match: re.Match[str]) -> str:
        return f"for: {max(1, round(int(match[1]) * units_s[match[2]] / hurry))}s"

    return re.sub(r"\bfor: (\d+)([smhd])\b", shorter, text)


@dataclass
class Monitored:
    """A daemon that is scraped.

    Attributes:
        heard: which alerts fired, in their order.
    """

    config: Path
    metrics_port: int
    prometheus: str
    cameras: dict[str, SimulatedCamera]
    receiver: Receiver
    hurry: float
    daemon: subprocess.Popen[bytes] | None = None
    heard: list[str] = field(default_factory=list)
    http: httpx.Client = field(default_factory=lambda: httpx.Client(trust_env=False, timeout=5.0))

    def start(self) -> None:
        """Start the daemon."""
        command = [sys.executable, "-m", "streamwatch", "run", "-c", str(self.config)]
        log = (self.config.parent / "daemon.log").open("ab")
        self.daemon = subprocess.Popen(command, stdout=log, stderr=log, cwd=REPOSITORY, env={**os.environ})
        log.close()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End the daemon."""
        if self.daemon is not None:
            self.daemon.send_signal(number)
            self.daemon.wait(30)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """What Prometheus answers now."""
        answer = self.http.get(f"{self.prometheus}/api/v1/query", params={"query": expression}).json()
        assert answer["status"] == "success", (expression, answer)
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def firing(self) -> dict[str, str]:
        """Alerts that fire: name to camera or endpoint."""
        alerts = self.http.get(f"{self.prometheus}/api/v1/alerts").json()["data"]["alerts"]
        found = [a["labels"] for a in alerts if a["state"] == "firing"]
        return {a["alertname"]: a.get("camera") or a.get("endpoint") or "" for a in found}

    def wait(self, what: str, holds: Callable[[], bool], *, until_s: float) -> None:
        """Wait until it holds, at the longest to a moment of the monotonic clock."""
        while time.monotonic() < until_s:
            with suppress(httpx.HTTPError):
                if holds():
                    return
            time.sleep(0.5)
        raise AssertionError(f"{what}: not in time; firing: {self.firing()}")

    def fires(self, alert: str, of: str, for_s: float, since_s: float) -> None:
        """The alert fires for ``of``, whose fault began at a moment of the monotonic clock."""
        until_s = since_s + for_s / self.hurry + SLACK_S
        self.wait(f"{alert} fires", lambda: self.firing().get(alert) == of, until_s=until_s)
        self.heard.append(alert)
        print(f"{alert:28} {of:6} fired {time.monotonic() - since_s:5.1f} s after the fault began")

    def clears(self, alert: str, since_s: float, late_s: float = 0.0) -> None:
        """The alert clears after the fault's end, ``late_s`` later than its slack if it must."""
        self.wait(f"{alert} clears", lambda: alert not in self.firing(), until_s=since_s + 4 * SLACK_S + late_s)
        print(f"{alert:28}        cleared {time.monotonic() - since_s:5.1f} s after the fault's end")


@contextmanager
def monitored(folder: Path, hurry: float) -> Iterator[Monitored]:
    """Two simulated cameras, the daemon, a receiver and a Prometheus.

    Raises:
        FileNotFoundError: there is no Prometheus.
    """
    program = shutil.which("prometheus")
    if program is None:
        raise FileNotFoundError("no prometheus on this machine (Debian package prometheus)")
    track = encode_track(courtyard_loop(), RATE_HZ)
    cameras = {f"cam{n}": SimulatedCamera(track) for n in range(2)}
    for camera in cameras.values():
        camera.start()
    learn(folder, cameras, FEW_DIMS)
    metrics, prometheus = free_port(), free_port()
    with running_receiver() as receiver:
        document = site_config(folder, cameras, 3.0, "tcp", FEW_DIMS)
        webhook = {"name": "ops", "url": receiver.url, "timeout": "1s", "events": ["*"]}
        document |= {"metrics": {"listen": f"127.0.0.1:{metrics}"}, "alerts": {"webhooks": [webhook]}}
        (folder / "site.yaml").write_text(json.dumps(document))
        site = Monitored(folder / "site.yaml", metrics, f"http://127.0.0.1:{prometheus}", cameras, receiver, hurry)
        site.start()
        server = _prometheus(program, folder, metrics, prometheus, hurry)
        try:
            ready = f'sum(streamwatch_camera_state{{state=~"running|calibrating"}}) == {len(cameras)}'
            site.wait("both cameras run", lambda: bool(site.query(ready)), until_s=time.monotonic() + STARTS_WITHIN_S)
            yield site
        finally:
            site.stop()
            site.http.close()
            server.terminate()
            server.wait(10)
            for camera in cameras.values():
                camera.stop()


def _prometheus(program: str, folder: Path, target: int, port: int, hurry: float) -> subprocess.Popen[bytes]:
    document = yaml.safe_load((RULES.parent / "prometheus.yml").read_text())
    document["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    document["scrape_configs"][0]["static_configs"] = [{"targets": [f"127.0.0.1:{target}"]}]
    del document["alerting"]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(document))
    (folder / RULES.name).write_text(hurried(RULES.read_text(), hurry))
    options = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/tsdb"]
    with (folder / "prometheus.log").open("wb") as log:
        return subprocess.Popen([program, *options, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)


def scenario(site: Monitored, *, patient: bool) -> Sequence[str]:
    """Faults; the alerts that fired and cleared.

    Args:
        patient: also what takes five minutes: an endpoint that takes nothing.
    """
    unexpected = set(site.firing()) - EXPECTED_ANYHOW
    assert not unexpected, f"without a fault there fire {unexpected}"
    now_s, lasts_s = time.monotonic, 120 / site.hurry + LASTS_S
    began_s, ends_s = now_s(), now_s() + lasts_s
    site.cameras["cam0"].inject(Fault("stall", duration_s=lasts_s))
    site.cameras["cam1"].inject(Fault("black", duration_s=lasts_s))
    site.fires("StreamwatchTamper", "cam1", 60, began_s)
    site.fires("StreamwatchCameraDown", "cam0", 120, began_s)
    good = site.config.read_text()
    site.config.write_text(good.replace('"version": 1', '"version": 99'))
    site.fires("StreamwatchReloadFailed", "", 0, now_s())
    site.config.write_text(good)
    site.clears("StreamwatchReloadFailed", now_s())
    for alert in ("StreamwatchTamper", "StreamwatchCameraDown"):
        site.clears(alert, ends_s)
    if patient:
        site.receiver.answers = [status(500)] * 10_000
        site.cameras["cam1"].inject(Fault("black", duration_s=5.0))
        site.fires("StreamwatchDeliveryStuck", "ops", 300 * site.hurry + 60, now_s())
        site.receiver.answers.clear()
        site.clears("StreamwatchDeliveryStuck", now_s(), late_s=NEXT_TRY_S)
    site.stop(signal.SIGKILL)
    site.fires("StreamwatchDown", "", 60, now_s())
    site.start()
    site.clears("StreamwatchDown", now_s())
    return site.heard


def main() -> None:
    """Run it and say what fired."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hurry", type=float, default=1.0)
    arguments = parser.parse_args()
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, monitored(Path(folder), arguments.hurry) as site:
        heard = scenario(site, patient=True)
    if arguments.hurry == 1.0:
        minutes = round((time.monotonic() - began_s) / 60, 1)
        record(
            "monitoring",
            "A real Prometheus sees five faults",
            [Figure("alerts that fired and cleared as they should", len(heard), "", "5"), Figure("in", minutes, "min")],
        )
    print(f"{len(heard)} alerts fired and cleared as they should in {(time.monotonic() - began_s) / 60:.1f} min")


if __name__ == "__main__":
    main()
