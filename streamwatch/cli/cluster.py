"""`streamwatch cluster`: a site's cameras on the machines of a Ray cluster, and which of several processes watches what."""

from __future__ import annotations

import json
import math
import signal
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from streamwatch.cli.options import address_option, required_config_option
from streamwatch.clock import SystemClock
from streamwatch.cluster.connection import connected
from streamwatch.cluster.ray_cluster import (
    ANSWERS_WITHIN_S,
    ClusterOptions,
    answered,
    begun_supervisor,
    ended,
    known_supervisor,
)
from streamwatch.cluster.supervisor import ClusterState
from streamwatch.config.loading import load_config
from streamwatch.config.schema import Config
from streamwatch.documents import iso_time
from streamwatch.errors import UsageError
from streamwatch.store.processes.leases import CameraLease, all_leases
from streamwatch.store.processes.reports import ProcessReport, living
from streamwatch.store.sessions import database_of, require_database

FOLLOWED_EVERY_S = 1.0
BENCH = "bench"


class Capacity(click.ParamType[float | str]):
    """Frames a second, or ``bench``."""

    name = "FPS|bench"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        """The number, or the word; a usage error for anything else."""
        if value == BENCH:
            return BENCH
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not 0 < number < math.inf:
            self.fail(f"{value!r} is neither a number of frames a second nor `bench`", param, ctx)
        return number


@dataclass(frozen=True)
class Watched:
    """One camera of a configuration.

    Attributes:
        process: who watches it; None for nobody.
        token: counts who has.
        until_wall_s: when that ends unless it is renewed, a Unix time.
        host: the machine that the process says it runs on.
        address: where its page is, as other processes reach it.
    """

    camera: str
    process: str | None
    token: int
    until_wall_s: float | None
    host: str | None = None
    address: str | None = None


@click.group("cluster")
def command() -> None:
    """Several processes that share a site's cameras."""


@command.command("run")
@required_config_option
@address_option
@click.option(
    "--capacity",
    type=Capacity(),
    help="Frames a second that one shard carries; or `bench`: each node is measured for two minutes before it watches, and "
    "what it came to is kept. [default: by each node's processors]",
)
def run(config_path: Path, address: str, capacity: float | str | None) -> None:
    """Watch the cameras of a configuration on all nodes of a Ray cluster: one shard a node, or one a GPU.

    Ends by Ctrl-C or SIGTERM; the shards go on, of --address local they end, too.
    """
    config = load_config(config_path)
    require_shared_database(config, address)
    folder, measured = (config.data_dir / "cluster").absolute(), capacity == BENCH
    given_fps = None if isinstance(capacity, str) else capacity
    options = ClusterOptions(config_path.absolute(), folder, Path.cwd(), given_fps, measured)
    with connected(address) as ray, starting_to_stop() as stopping:  # Ray sets handlers of its own
        supervisor = begun_supervisor(ray, options)
        try:
            _follow(ray, supervisor, stopping)
        finally:
            if address == "local":
                ended(ray, supervisor)


@command.command("stop")
@address_option
def stop(address: str) -> None:
    """End all shards of a cluster, and its supervisor."""
    with connected(address) as ray:
        ended(ray, known_supervisor(ray))


@command.command("drain")
@click.argument("shard")
@address_option
@click.option("--undo", is_flag=True, help="Let it watch again.")
def drain(shard: str, address: str, undo: bool) -> None:
    """Have SHARD's cameras watched by others, for maintenance of its machine."""
    with connected(address) as ray:
        supervisor = known_supervisor(ray)
        state, _problem = answered(ray, supervisor.state.remote())
        if shard not in state.shards:
            raise UsageError(f"no shard {shard!r}", hint=f"there are {', '.join(sorted(state.shards)) or 'none'}")
        answered(ray, supervisor.drain.remote(shard, not undo))


def require_shared_database(config: Config, address: str) -> None:
    """Shards of several machines keep one camera from two of them by what they write into one database.

    Raises:
        UsageError: the database is a file of one machine.
    """
    if config.database is None and address != "local":
        raise UsageError("the shards of a cluster share a database", hint="set `database` to a PostgreSQL")


def _follow(ray: Any, supervisor: Any, stopping: threading.Event) -> None:
    """Say what the supervisor comes to, until somebody stops it."""
    said = ""
    while not stopping.wait(FOLLOWED_EVERY_S):
        try:
            state, problem = ray.get(supervisor.state.remote(), timeout=ANSWERS_WITHIN_S)
        except ray.exceptions.ActorDiedError:
            click.echo("the cluster was stopped, or its head is gone; in the latter case the shards go on", err=True)
            return
        except ray.exceptions.RayError as error:
            line = f"the supervisor does not answer ({type(error).__name__}); the shards go on"
        else:
            line = problem or _told(state)
        if line != said:
            click.echo(line, err=True)
        said = line


def _told(state: ClusterState) -> str:
    counts = Counter(state.placement.values())
    shards = [f"{name} {counts[name]}{_remark(state, name)}" for name in sorted(state.shards)]
    measured = f"; measuring {', '.join(sorted(state.measured))}" if state.measured else ""
    return f"{len(state.placement)} cameras on {len(shards)} shards: {', '.join(shards) or 'none yet'}{measured}"


def _remark(state: ClusterState, shard: str) -> str:
    if shard in state.drained:
        return " (drained)"
    idle = state.shards[shard].pid is not None or not state.shards[shard].cameras
    return "" if idle else f" (does not run: see {shard}.log)"


@contextmanager
def starting_to_stop() -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set."""
    stopping = threading.Event()
    before = {number: signal.signal(number, lambda *_: stopping.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@command.command("status")
@required_config_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def status(config_path: Path, as_json: bool) -> None:
    """Say which process watches which camera, of processes that were started with --shard."""
    config, now_s = load_config(config_path), SystemClock().wall_s()
    require_database(config)
    with database_of(config) as engine:
        leases = {lease.camera: lease for lease in all_leases(engine) if lease.until_wall_s > now_s}
        known = {process.name: process for process in living(engine, SystemClock())}
    watched = [_watched(camera, leases.get(camera), known) for camera in config.enabled_cameras]
    if as_json:
        click.echo(json.dumps({"cameras": [asdict(one) for one in watched]}))
        return
    for one in watched:
        click.echo(f"camera {one.camera}: {_by_whom(one)}")


def _watched(camera: str, lease: CameraLease | None, known: Mapping[str, ProcessReport]) -> Watched:
    if lease is None:
        return Watched(camera, None, 0, None)
    process = known.get(lease.holder)
    where = (process.host, process.address) if process else (None, None)
    return Watched(camera, lease.holder, lease.token, lease.until_wall_s, *where)


def _by_whom(watched: Watched) -> str:
    if watched.until_wall_s is None:
        return "nobody"
    where = f" on {watched.host}" if watched.host else ""
    page = f", {watched.address}" if watched.address else ""
    return f"{watched.process}{where}, until {iso_time(watched.until_wall_s)}{page}"
