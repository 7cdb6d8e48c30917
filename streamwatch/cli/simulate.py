"""`streamwatch simulate`: an RTSP camera from a file, which misbehaves on command."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Literal

import click

from streamwatch.errors import UsageError
from streamwatch.masking import mask_url
from streamwatch.simulator.authentication import Credentials
from streamwatch.simulator.faults import KINDS, parse_fault
from streamwatch.simulator.media import load_track
from streamwatch.simulator.server import SimulatedCamera


@click.command("simulate")
@click.argument("file")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8554, show_default=True, help="0 takes a free one.")
@click.option("--fault", "faults", multiple=True, metavar="KIND[:VALUE][@START]", help=f"What goes wrong: {', '.join(KINDS)}.")
@click.option("--user", help="Ask for this user.")
@click.option("--password", envvar="STREAMWATCH_SIMULATE_PASSWORD", help="And this password.")
@click.option("--auth", type=click.Choice(["digest", "basic"]), default="digest", show_default=True, help="How to ask.")
def command(
    file: str,
    host: str,
    port: int,
    faults: tuple[str, ...],
    user: str | None,
    password: str | None,
    auth: Literal["digest", "basic"],
) -> None:
    r"""Serve FILE as an RTSP camera, looped, until stopped.

    \b
    streamwatch simulate yard.mp4 --fault stall:30s@10s --fault reset@1m --fault loss:2%

    A fault begins START after the start (10s if it is not said; rates from the start on); `,` separates several in one
    option too.
    """
    if bool(user) != bool(password):
        raise UsageError("--user and --password go together")
    planned = tuple(parse_fault(part) for text in faults for part in text.split(","))
    credentials = Credentials(user, password, auth) if user and password else None
    if "://" in file:
        raise UsageError("a file is served, and this is a URL", where=mask_url(file), hint="record it first")
    camera = SimulatedCamera(load_track(Path(file)), host=host, port=port, faults=planned, credentials=credentials)
    camera.start()
    width, height = camera.track.size_px
    click.echo(f"{camera.url} serves {file} ({camera.track.codec}, {width}x{height}, {camera.track.duration_s:.1f} s, looped)")
    _wait_for_signal()
    camera.stop()


def _wait_for_signal() -> None:
    stop = threading.Event()

    def handle(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)
    while not stop.wait(0.5):
        pass
