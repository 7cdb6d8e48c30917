"""Pictures of every page for docs/web.md: a daemon on scenes that `streamwatch demo` renders, looked at by Chromium.

python -m tools.screenshots        # about four minutes; needs Chromium
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

import httpx
from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from tests.web.browsers import CHROMIUM, OPTIONS, free_port
from tools.footage import REPOSITORY
from tools.receiver import running_receiver

OUT = REPOSITORY / "docs/pages"
QUALITY, MAX_HEIGHT_PX = 70, 1400
LOOKS: tuple[tuple[Literal["light", "dark"], int, int], ...] = (("light", 1280, 800), ("dark", 390, 844))
SITE = """version: 1
data_dir: data
backbone: {{weights: untrained}}
defaults: {{fps: 5, cooldown: 5s}}
cameras:
  square:
    source: rtsp://127.0.0.1:{square}/   # the north side
    normal: [videos/normal.mp4]
    zones: {{door: {{polygon: [[0.48, 0.15], [0.57, 0.15], [0.57, 0.42], [0.48, 0.42]]}}}}
    ignore: [[[0.76, 0.25], [0.99, 0.25], [0.99, 0.65], [0.76, 0.65]]]
  arcade: {{source: "rtsp://127.0.0.1:{arcade}/", normal: [videos/normal.mp4]}}
  yard: {{source: "rtsp://127.0.0.1:{yard}/", normal: [videos/normal.mp4]}}
alerts: {{webhooks: [{{name: ops, url: "{receiver}", events: ["*"]}}]}}
metrics: {{listen: null}}
web: {{listen: "127.0.0.1:{port}"}}
"""
VIDEOS = {"square": "today", "arcade": "another", "yard": "normal"}


def streamwatch(*arguments: str) -> list[str]:
    """A command of ours."""
    return [sys.executable, "-m", "streamwatch", *arguments]


@contextmanager
def watched(folder: Path) -> Iterator[str]:
    """The address of a daemon on three cameras that has raised events."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with ExitStack() as stack:

        def start(*arguments: str) -> None:
            command = streamwatch(*arguments)
            process = subprocess.Popen(
                command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            stack.callback(process.wait)
            stack.callback(process.terminate)

        def run(*arguments: str) -> None:
            subprocess.run(streamwatch(*arguments), cwd=folder, env=environment, check=True, capture_output=True)

        run("demo", "--render-only", "videos")
        ports = {name: free_port() for name in (*VIDEOS, "port")}
        receiver = stack.enter_context(running_receiver())
        (folder / "site.yaml").write_text(SITE.format(**ports, receiver=receiver.url))
        run("fit", "-c", "site.yaml", "--all")
        for name, video in VIDEOS.items():
            start("simulate", f"videos/{video}.mp4", "--port", str(ports[name]))
        start("run", "-c", "site.yaml")
        base_url = f"http://127.0.0.1:{ports['port']}"
        _wait_for_clip(base_url)
        yield base_url


def _wait_for_clip(base_url: str, within_s: float = 180.0) -> None:
    until_s = time.monotonic() + within_s
    while time.monotonic() < until_s:
        try:
            events: list[dict[str, Any]] = httpx.get(f"{base_url}/api/v1/events", trust_env=False).json()
        except httpx.HTTPError:
            events = []
        if len(events) > 1 and any(file["kind"] == "clips" for file in events[-1]["evidence"]):
            return
        time.sleep(1)
    raise SystemExit("no event came")


def shoot(browser: Browser, base_url: str) -> None:
    """Every page, by day on a desk and by night on a telephone."""
    event = httpx.get(f"{base_url}/api/v1/events", trust_env=False).json()[-1]["id"]
    pages = {"live": "/", "camera": "/cameras/square", "events": "/events", "event": f"/events/{event}", "review": "/review",
             "deliveries": "/deliveries", "system": "/system", "setup": "/setup", "zones": "/setup/square"}  # fmt: skip
    OUT.mkdir(exist_ok=True)
    for scheme, width, height in LOOKS:
        context = browser.new_context(base_url=base_url, color_scheme=scheme, viewport={"width": width, "height": height})
        page = context.new_page()
        for name, path in pages.items():
            page.goto(path)
            page.wait_for_timeout(9000 if name in ("live", "camera") else 2500)
            picture = Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("RGB")
            shown = picture.crop((0, 0, picture.width, min(picture.height, MAX_HEIGHT_PX)))
            shown.save(OUT / f"{name}-{scheme}.jpg", quality=QUALITY, optimize=True)
        context.close()


def main() -> None:
    """Make all of them anew."""
    with tempfile.TemporaryDirectory() as folder, watched(Path(folder)) as base_url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        shoot(browser, base_url)
        browser.close()


if __name__ == "__main__":
    main()
