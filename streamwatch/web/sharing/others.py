"""What the other processes of a site watch, as they say themselves through the database that all of them share."""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError
from sqlalchemy import Engine

from streamwatch.clock import Clock
from streamwatch.config.addresses import is_loopback
from streamwatch.errors import StoreError
from streamwatch.store.processes.reports import ProcessReport, living
from streamwatch.web.api.documents.cameras import CameraDocument
from streamwatch.web.api.documents.system import CapacityDocument
from streamwatch.web.live.shared import Shared

log = logging.getLogger(__name__)
READ_EVERY_S = 1.0


@dataclass(frozen=True)
class OtherProcess:
    """One of them.

    Attributes:
        name: that no other has.
        address: at which this machine reaches its site; None if it cannot.
        cameras: what it watches, by name.
    """

    name: str
    shard: str
    host: str
    address: str | None
    version: str
    began_wall_s: float
    cameras: Mapping[str, CameraDocument]
    capacity: CapacityDocument | None


@dataclass(frozen=True)
class _Known:
    """All of them, and who of them watches each camera."""

    processes: tuple[OtherProcess, ...] = ()
    watchers: Mapping[str, OtherProcess] = field(default_factory=dict)


class OtherProcesses:
    """Asked from any thread; the database is, once a second for all who ask. While it refuses, what it said last holds.

    Args:
        own: the name of this process, which is none of the others.
    """

    def __init__(self, database: Engine, own: str, clock: Clock) -> None:
        self._database, self.own, self._clock = database, own, clock
        self._shared = Shared[_Known](clock, READ_EVERY_S)
        self._last = _Known()

    def all(self) -> Sequence[OtherProcess]:
        """Those that said something lately."""
        return self._shared.get(self._read).processes

    def watching(self, camera: str) -> OtherProcess | None:
        """Who watches a camera: of two that say so, while it moves, who scored it last."""
        return self._shared.get(self._read).watchers.get(camera)

    def cameras(self) -> dict[str, CameraDocument]:
        """What they watch."""
        return {name: process.cameras[name] for name, process in self._shared.get(self._read).watchers.items()}

    def _read(self) -> _Known:
        try:
            found = living(self._database, self._clock)
        except StoreError as error:
            log.warning("%s", error)
            return self._last
        processes = tuple(_other(report) for report in found if report.name != self.own)
        by_scored = sorted(
            ((camera.scored_at or "", name, process) for process in processes for name, camera in process.cameras.items()),
            key=lambda one: one[0],
        )
        self._last = _Known(processes, {name: process for _, name, process in by_scored})
        return self._last


def _other(told: ProcessReport) -> OtherProcess:
    """A report of another version may lack what ours has: such a part is left out."""
    cameras = (_parsed(CameraDocument, one) for one in told.report.get("cameras", ()))
    address = told.address if told.address and _leads_there(told.address, told.host) else None
    return OtherProcess(
        told.name,
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
