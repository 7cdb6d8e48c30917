"""`streamwatch snooze`: switch a camera's events off for a while."""

from __future__ import annotations

from pathlib import Path

import click

from streamwatch.cli.options import require_camera, required_config_option
from streamwatch.clock import SystemClock
from streamwatch.config.loading import load_config
from streamwatch.config.units import parse_duration_s
from streamwatch.documents import iso_time
from streamwatch.errors import UsageError
from streamwatch.store.sessions import database_of
from streamwatch.store.snoozes import list_snoozes, set_snooze


@click.command("snooze")
@click.argument("camera", required=False)
@click.argument("duration", required=False)
@required_config_option
def command(camera: str | None, duration: str | None, config_path: Path) -> None:
    """Raise no events of CAMERA for DURATION, like 2h; `off` ends it. Without arguments, list what is snoozed.

    The camera is watched on, and tamper and offline notices are told. A running daemon knows within seconds.
    """
    config, clock = load_config(config_path), SystemClock()
    if camera is not None:
        require_camera(config, camera)
    if camera is not None and duration is None:
        raise UsageError("for how long?", hint="give a duration like 2h, or off")
    until_s = None if duration in (None, "off") else clock.wall_s() + _seconds(str(duration))
    with database_of(config) as engine:
        if camera is not None:
            set_snooze(engine, camera, until_s)
        now = {name: until for name, until in list_snoozes(engine).items() if until > clock.wall_s()}
    for name, until in now.items():
        click.echo(f"camera {name}: no events until {iso_time(until)}")
    if not now:
        click.echo("no camera is snoozed")


def _seconds(text: str) -> float:
    try:
        return parse_duration_s(text)
    except ValueError as error:
        raise UsageError(f"{text!r} {error}") from error
