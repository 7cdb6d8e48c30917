"""What the other processes of a site watch, as they say themselves through the database that all of them share."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError
from sqlalchemy import Engine

from streamwatch.clock import Clock
from streamwatch.config.addresses import is_loopback
from streamwatch.store.processes.reports import ProcessReport, living
from streamwatch.web.api.documents.cameras import CameraDocument
from streamwatch.web.api.documents.system import CapacityDocument
from streamwatch.web.live.shared import Shared

READ_EVERY_S = 1.0


@dataclass(frozen=True)
class OtherProcess:
    """One of them.

    Attributes:
        address: at which this machine reaches its site; None if it cannot.
        cameras: what it watches, by name.
    """

    shard: str
    host: str
    address: str | None
    version: str
    began_wall_s: float
    cameras: Mapping[str, CameraDocument]
    capacity: CapacityDocument | None


class OtherProcesses:
    """Asked from any thread; the database is, once a second for all who ask.

    Args:
        own: the name of this process, which is none of the others.
    """

    def __init__(self, database: Engine, own: str, clock: Clock) -> None:
        self._database, self._own, self._clock = database, own, clock
        self._known = Shared[list[OtherProcess]](clock, READ_EVERY_S)

    def all(self) -> list[OtherProcess]:
        """Those that said something lately; raises StoreError."""
        return self._known.get(self._read)

    def watching(self, camera: str) -> OtherProcess | None:
        """Who watches a camera: of two that say so, while it moves, who scored it last."""
        watchers = [process for process in self.all() if camera in process.cameras]
        return max(watchers, key=lambda process: process.cameras[camera].scored_at or "", default=None)

    def cameras(self) -> dict[str, CameraDocument]:
        """What they watch."""
        names = {name for process in self.all() for name in process.cameras}
        return {name: process.cameras[name] for name in names if (process := self.watching(name))}

    def _read(self) -> list[OtherProcess]:
        return [_other(report) for report in living(self._database, self._clock) if report.name != self._own]


def _other(told: ProcessReport) -> OtherProcess:
    """A report of another version may lack what ours has: such a part is left out."""
    cameras = (_parsed(CameraDocument, one) for one in told.report.get("cameras", ()))
    address = told.address if told.address and _leads_there(told.address, told.host) else None
    return OtherProcess(
        told.shard,
        told.host,
        address,
        told.version,
        told.began_wall_s,
        {camera.name: camera for camera in cameras if camera},
        _parsed(CapacityDocument, told.report.get("capacity")),
    )


def _parsed(kind: Any, document: object) -> Any:
    try:
        return kind.model_validate(document)
    except ValidationError:
        return None


def _leads_there(address: str, host: str) -> bool:
    """Whether an address is not just the other machine's name for itself."""
    return host == socket.gethostname() or not is_loopback(urlsplit(address).hostname or "")
