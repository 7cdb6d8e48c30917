"""The listeners of a daemon: telemetry, and the site with what it can see and change of the daemon."""

from __future__ import annotations

import math
import socket
import threading
from collections.abc import Callable, Collection
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from streamwatch import __version__
from streamwatch.config.editing import ConfigEditor
from streamwatch.config.schema import Config, WebConfig
from streamwatch.daemon.assembly import Components
from streamwatch.daemon.config_file import WholeFile
from streamwatch.daemon.sharing.held_cameras import HeldCameras
from streamwatch.daemon.sharing.registration import Registration, reached_at
from streamwatch.store.event_store import EventStore
from streamwatch.store.processes.leases import count_leased
from streamwatch.store.processes.reports import ProcessReport
from streamwatch.store.sessions import open_database_of
from streamwatch.web.access.policy import access_policy, require_somebody
from streamwatch.web.context import Control, LiveView, SiteContext, Stores
from streamwatch.web.hosts import HostCheck, own_names
from streamwatch.web.jobs import Jobs
from streamwatch.web.live.cameras import LiveCameras, LiveSources
from streamwatch.web.live.shared import Shared
from streamwatch.web.server import WebServer
from streamwatch.web.sharing.events import EventsElsewhere
from streamwatch.web.sharing.others import OtherProcesses
from streamwatch.web.sharing.report import report_of
from streamwatch.web.site import build_site
from streamwatch.web.telemetry import telemetry_app


@dataclass(frozen=True)
class FollowedFile:
    """The configuration file that a daemon follows.

    Attributes:
        reload: set to have it read again.
    """

    path: Path
    reload: threading.Event


def with_servers(parts: Components, folder: Path, followed: FollowedFile | None, stack: ExitStack) -> Components:
    """The same with its listeners open, though not served yet.

    Raises:
        ListenError: an address is taken; ConfigError: nobody could log in where a login is asked for, or TLS cannot be used.
    """
    config, servers = parts.config.value, list[WebServer]()
    names = partial(_names, parts)
    if config.metrics.listen:
        servers.append(WebServer(telemetry_app(parts.metrics, parts.health, parts.readiness), config.metrics.listen, names))
        stack.callback(servers[-1].stop)
    if not config.web.listen and not parts.held:
        return replace(parts, servers=tuple(servers))
    jobs = Jobs(parts.clock, on_done=followed.reload.set) if followed and config.web.listen else None
    context = site_context(parts, _stores(config, folder, stack), folder, followed, jobs)
    address = None
    if config.web.listen:
        servers.append(_site_server(context, config.web, config.web.listen, names))
        stack.callback(servers[-1].stop)
        address = reached_at(config, servers[-1].port)
    return replace(parts, servers=tuple(servers), jobs=jobs, registration=_registration(parts, context, address, stack))


def _names(parts: Components) -> frozenset[str]:
    """Those that this process's listeners answer to."""
    web = parts.config.value.web
    return own_names(lambda: web.public_url) | own_names(lambda: web.peer_url)


def _site_server(context: SiteContext, web: WebConfig, listen: str, names: Callable[[], Collection[str]]) -> WebServer:
    require_somebody(web, any_token=context.stores.access.any_in_force())
    policy = access_policy(web)
    site = build_site(context, policy)
    if policy.open and not policy.local:
        site = HostCheck(site, names, changes_only=True)
    return WebServer(site, listen, names, web.tls)


def _registration(parts: Components, context: SiteContext, address: str | None, stack: ExitStack) -> Registration | None:
    """What tells the other processes of the site; None where there are none."""
    if parts.held is None or context.shard is None:
        return None
    process = ProcessReport(
        parts.held.holder, context.shard, socket.gethostname(), address, __version__, context.began_wall_s, report={}
    )

    def show_unwatched() -> None:
        cameras = context.config().enabled_cameras
        parts.metrics.cameras_unwatched.set(math.nan)  # unless the database says how many
        leased = count_leased(context.stores.database, parts.clock, cameras)
        parts.metrics.cameras_unwatched.set(len(cameras) - leased)

    told = Registration(context.stores.database, process, partial(report_of, context), parts.clock, show_unwatched)
    stack.callback(told.stop)
    return told


def _stores(config: Config, folder: Path, stack: ExitStack) -> Stores:
    """With connections of its own: who looks must not have the publisher wait for one."""
    database = open_database_of(config, folder)
    stack.callback(database.dispose)
    return Stores.of(database, EventStore(database))


def site_context(
    parts: Components, stores: Stores, folder: Path, followed: FollowedFile | None, jobs: Jobs | None
) -> SiteContext:
    """What the site of a daemon asks."""
    shown, zones_of = parts.shown, parts.calibration.zones_of
    sources = LiveSources(lambda: parts.fleet.cameras, parts.status, shown.levels, shown.monitor_of, zones_of, parts.clock)
    now = LiveCameras(sources)
    live = LiveView(now, shown.pictures, shown.levels, shown.feed, shown.load, Shared(parts.clock))
    control = None
    if followed and jobs:
        control = Control(ConfigEditor(followed.path), jobs, followed.reload.set, lambda: parts.config.refused)
    began_wall_s = parts.clock.wall_s()
    alone = SiteContext(
        "streamwatch", lambda: parts.config.value, folder, parts.clock, stores, began_wall_s, live=live, control=control
    )
    return _among_others(alone, live, parts.held, followed) if parts.held else alone


def _among_others(alone: SiteContext, live: LiveView, held: HeldCameras, followed: FollowedFile | None) -> SiteContext:
    """The same with all cameras of the file, and what other processes watch of them."""
    whole = WholeFile(followed.path, alone.config()).read if followed else alone.config
    others = OtherProcesses(alone.stores.database, held.holder, alone.clock)
    elsewhere = EventsElsewhere(alone.stores.events, lambda camera: camera in live.cameras.names(), live.feed.change)
    return replace(alone, config=whole, shard=held.shard, others=others, live=replace(live, elsewhere=elsewhere))
