"""The listeners of a daemon: telemetry, and the site with what it can see and change of the daemon."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from streamwatch.config.editing import ConfigEditor
from streamwatch.config.schema import Config
from streamwatch.daemon.assembly import Components
from streamwatch.store.event_store import EventStore
from streamwatch.store.sessions import open_database_of
from streamwatch.web.access.policy import access_policy, require_somebody
from streamwatch.web.context import Control, LiveView, SiteContext, Stores
from streamwatch.web.hosts import HostCheck, own_names
from streamwatch.web.jobs import Jobs
from streamwatch.web.live.cameras import LiveCameras, LiveSources
from streamwatch.web.live.shared import Shared
from streamwatch.web.server import WebServer
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
    names = partial(own_names, lambda: parts.config.value.web.public_url)
    if config.metrics.listen:
        servers.append(WebServer(telemetry_app(parts.metrics, parts.health, parts.readiness), config.metrics.listen, names))
        stack.callback(servers[-1].stop)
    jobs = None
    if config.web.listen:
        jobs = Jobs(parts.clock, on_done=followed.reload.set) if followed else None
        context = site_context(parts, _stores(config, folder, stack), folder, followed, jobs)
        require_somebody(config.web, any_token=context.stores.access.any_in_force())
        policy = access_policy(config.web)
        site = build_site(context, policy)
        if policy.open and not policy.local:
            site = HostCheck(site, names, changes_only=True)
        servers.append(WebServer(site, config.web.listen, names, config.web.tls))
        stack.callback(servers[-1].stop)
    return replace(parts, servers=tuple(servers), jobs=jobs)


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
    return SiteContext(
        "streamwatch", lambda: parts.config.value, folder, parts.clock, stores, began_wall_s, live=live, control=control
    )
