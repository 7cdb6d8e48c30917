"""What the site is made of: everything that its routes ask, passed in once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy import Engine

from streamwatch.clock import Clock, SystemClock
from streamwatch.config.editing import ConfigEditor
from streamwatch.config.schema import Config
from streamwatch.store.access import AccessStore
from streamwatch.store.event_store import EventStore
from streamwatch.store.outbox.administration import OutboxAdministration
from streamwatch.web.api.documents.system import DiskDocument
from streamwatch.web.jobs import Jobs
from streamwatch.web.live.cameras import LiveCameras
from streamwatch.web.live.feed import EventFeed
from streamwatch.web.live.levels import LevelHistory
from streamwatch.web.live.load import EngineLoad
from streamwatch.web.live.pictures import LivePictures
from streamwatch.web.live.shared import Shared
from streamwatch.web.problems import Problem, not_found
from streamwatch.web.sharing.events import EventsElsewhere
from streamwatch.web.sharing.others import OtherProcesses

DISK_EVERY_S = 60.0


@dataclass(frozen=True)
class Stores:
    """What of the site's database is asked for."""

    database: Engine
    events: EventStore
    outbox: OutboxAdministration
    access: AccessStore

    @staticmethod
    def of(database: Engine, events: EventStore) -> Stores:
        """Of one that is open and migrated."""
        return Stores(database, events, OutboxAdministration(database), AccessStore(database))


@dataclass(frozen=True)
class LiveView:
    """What of a running daemon can be looked at.

    Attributes:
        state: of all cameras as text, for all who listen.
        elsewhere: events of other processes that share the site; None where there are none.
    """

    cameras: LiveCameras
    pictures: LivePictures
    levels: LevelHistory
    feed: EventFeed
    load: EngineLoad
    state: Shared[str]
    elsewhere: EventsElsewhere | None = None


@dataclass(frozen=True)
class Control:
    """What of a running daemon can be changed.

    Attributes:
        reload: have it read its configuration, and its models, again soon.
        refused: why the last configuration was not taken up; None if it was.
    """

    editor: ConfigEditor
    jobs: Jobs
    reload: Callable[[], None]
    refused: Callable[[], str | None]


@dataclass(frozen=True)
class SiteContext:
    """Everything.

    Attributes:
        config: gives the configuration in force, with all of the site's cameras.
        folder: of the evidence.
        live: None where no daemon watches.
        control: None for a daemon without a configuration file.
        shard: this process's share of the cameras; None if it has all of them.
        others: the processes that have the other shares; None where there are none.
        disk: what evidence takes: each of its files is looked at.
    """

    title: str
    config: Callable[[], Config]
    folder: Path
    clock: Clock
    stores: Stores
    began_wall_s: float
    live: LiveView | None = None
    control: Control | None = None
    shard: str | None = None
    others: OtherProcesses | None = None
    disk: Shared[DiskDocument] = field(default_factory=lambda: Shared(SystemClock(), DISK_EVERY_S))

    def require_live(self) -> LiveView:
        """What is watched now.

        Raises:
            Problem: nothing is.
        """
        if self.live is None:
            raise Problem(409, "no daemon watches here; start one with `streamwatch run`")
        return self.live

    def require_control(self) -> Control:
        """What can be changed.

        Raises:
            Problem: nothing can.
        """
        if self.control is None:
            raise Problem(409, "there is no configuration file here that could be changed; start `streamwatch run -c CONFIG`")
        return self.control

    def watches(self, camera: str) -> bool:
        """Whether this process watches a camera."""
        return self.live is not None and camera in self.live.cameras.names()

    def may_be_of_others(self, camera: str, start_wall_s: float) -> bool:
        """Whether what is kept of a camera's event may lie with another process: a camera may have moved since."""
        ours = self.watches(camera) and start_wall_s >= self.began_wall_s
        return self.others is not None and not ours and bool(self.others.all())

    def require_camera(self, camera: str) -> str:
        """The name of a camera of the configuration.

        Raises:
            Problem: 404, it is none.
        """
        if camera not in self.config().cameras:
            raise not_found(f"camera {camera!r} in the configuration")
        return camera


def site_of(request: Request) -> SiteContext:
    """The site of an app."""
    site: SiteContext = request.app.state.site
    return site


Site = Annotated[SiteContext, Depends(site_of)]
