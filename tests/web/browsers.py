"""A headless Chromium, and a real daemon on simulated cameras for it to look at."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.site import FEW_DIMS, RATE_HZ, courtyard_loop, learn
from streamwatch.simulator.authentication import Credentials
from streamwatch.simulator.media import encode_track
from streamwatch.simulator.server import SimulatedCamera
from tests.conftest import REPOSITORY
from tools.receiver import Receiver, running_receiver

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
OPTIONS += ["--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required"]
PASSWORD = "pa ss/word-of-the-new-one"
WITHIN_S = 30.0
SITE = """# Kept by the night watch.
version: 1
data_dir: {data}
backbone: {{weights: untrained, dims: {dims}}}
defaults: {{fps: 4, min_duration: 500ms, end_delay: 500ms, cooldown: 1s, max_duration: 20s}}
cameras:
  # the fountain
  square:
    source: {square}   # north
    alarm_budget: 1/day
  gate:
    source: {gate}
alerts:
  webhooks:
    - {{name: ops, url: "{receiver}", events: ["*"]}}   # the pager
clips: {{pre_roll: 1s, post_roll: 1s}}
metrics: {{listen: null}}
web: {{listen: 127.0.0.1:{port}}}
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, or a skip that says why; not for longer than its tests, because Playwright leaves its event loop running."""
    if CHROMIUM is None:
        pytest.skip("skipped: no Chromium on this machine")
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield made
        made.close()


@dataclass
class Watched:
    """A daemon in a process of its own.

    Attributes:
        spare: a camera that is in no configuration, with a password.
    """

    config_path: Path
    base_url: str
    receiver: Receiver
    spare: SimulatedCamera

    def get(self, path: str) -> object:
        return httpx.get(f"{self.base_url}/api/v1{path}", trust_env=False, timeout=20).json()

    def change(self, before: str, after: str) -> None:
        """Edit the configuration as an editor does."""
        text = self.config_path.read_text()
        assert before in text
        self.config_path.write_text(text.replace(before, after))


@contextmanager
def watched(folder: Path) -> Iterator[Watched]:
    """Two cameras, all scored when it is handed over."""
    track = encode_track(courtyard_loop(), RATE_HZ)
    learn(folder, ("square", "gate"), FEW_DIMS)
    with ExitStack() as stack:
        square, gate, spare = (
            SimulatedCamera(track),
            SimulatedCamera(track),
            SimulatedCamera(track, credentials=Credentials("viewer", PASSWORD)),
        )
        for camera in (square, gate, spare):
            camera.start()
            stack.callback(camera.stop)
        receiver = stack.enter_context(running_receiver())
        port = free_port()
        path = folder / "site.yaml"
        urls = {"square": square.url, "gate": gate.url, "receiver": receiver.url}
        path.write_text(SITE.format(data=folder / "data", dims=FEW_DIMS, port=port, **urls))
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "PYTHONPATH": str(REPOSITORY)}
        with (folder / "run.log").open("wb") as log:
            command = [sys.executable, "-m", "streamwatch", "run", "-c", str(path)]
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=environment)
            stack.callback(process.wait, 30)
            stack.callback(process.terminate)
            site = Watched(path, f"http://127.0.0.1:{port}", receiver, spare)
            until(lambda: _all_scored(site), 60)
            yield site


def _all_scored(site: Watched) -> bool:
    try:
        cameras = site.get("/cameras")
    except (httpx.HTTPError, json.JSONDecodeError):
        return False
    return isinstance(cameras, list) and all(camera["level"] is not None for camera in cameras)


def until(condition: Callable[[], object], within_s: float = WITHIN_S) -> None:
    """Wait for something that happens elsewhere."""
    until_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < until_s, "it did not happen in time"
        time.sleep(0.1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def looking(browser: Browser, base_url: str) -> Iterator[Page]:
    """A page on which no script fails and nothing is refused by the content policy."""
    context = browser.new_context(base_url=base_url, viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.set_default_timeout(1000 * WITHIN_S)
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text) if "Content Security Policy" in message.text else None)
    try:
        yield page
    finally:
        context.close()
    assert faults == []


def until_shown(page: Page, expression: str, within_s: float = WITHIN_S) -> None:
    """Wait until a page's expression is true; Playwright's own way of waiting for one is refused by the content policy."""
    until_s = time.monotonic() + within_s
    while not page.evaluate(expression):
        assert time.monotonic() < until_s, f"never: {expression}"
        page.wait_for_timeout(100)
