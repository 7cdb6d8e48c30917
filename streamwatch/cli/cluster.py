"""`streamwatch cluster`: which of several processes watches what."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from streamwatch.cli.options import required_config_option
from streamwatch.clock import SystemClock
from streamwatch.config.loading import load_config
from streamwatch.documents import iso_time
from streamwatch.store.camera_leases import all_leases
from streamwatch.store.sessions import database_of, require_database


@dataclass(frozen=True)
class Watched:
    """One camera of a configuration.

    Attributes:
        process: who watches it; None for nobody.
        token: counts who has.
        until_wall_s: when that ends unless it is renewed, a Unix time.
    """

    camera: str
    process: str | None
    token: int
    until_wall_s: float | None


@click.group("cluster")
def command() -> None:
    """Several processes that share a site's cameras."""


@command.command("status")
@required_config_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def status(config_path: Path, as_json: bool) -> None:
    """Say which process watches which camera, of processes that were started with --shard."""
    config, now_s = load_config(config_path), SystemClock().wall_s()
    require_database(config)
    with database_of(config) as engine:
        leases = {lease.camera: lease for lease in all_leases(engine) if lease.until_wall_s > now_s}
    watched = [
        Watched(camera, lease.holder, lease.token, lease.until_wall_s)
        if (lease := leases.get(camera))
        else Watched(camera, None, 0, None)
        for camera in config.enabled_cameras
    ]
    if as_json:
        click.echo(json.dumps({"cameras": [asdict(one) for one in watched]}))
        return
    for one in watched:
        until = f"{one.process}, until {iso_time(one.until_wall_s)}" if one.until_wall_s is not None else "nobody"
        click.echo(f"camera {one.camera}: {until}")
