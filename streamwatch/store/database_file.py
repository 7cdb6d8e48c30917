"""SQLite's file under open connections: deleted or replaced, it would still take what is written, and nobody ever see it."""

from __future__ import annotations

import logging
import os
import sqlite3
from pathlib import Path

from sqlalchemy import Engine, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

log = logging.getLogger(__name__)
Identity = tuple[int, int]
_KEY = "file"
_NAMES_ONLY: int = getattr(os, "O_PATH", 0)
"""Linux has it."""


def identity_of(path: Path) -> Identity | None:
    """What makes a file the same one, whatever its name; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def follow_file(engine: Engine) -> None:
    """Let each connection be used only while its file is the one of that name; else another is opened in its place."""
    path = path_of(engine)
    if path is None:
        return

    def opened(_connection: sqlite3.Connection, entry: ConnectionPoolEntry) -> None:
        entry.info[_KEY] = identity_of(path)

    def used(_connection: sqlite3.Connection, entry: ConnectionPoolEntry, _proxy: PoolProxiedConnection) -> None:
        if entry.info.get(_KEY) != identity_of(path):
            raise DisconnectionError(f"{path} is another file now")  # the pool closes it and opens one anew

    event.listen(engine, "connect", opened)
    event.listen(engine, "checkout", used)


def path_of(engine: Engine) -> Path | None:
    """The file of a SQLite database; None for one in memory, and for other databases."""
    name = engine.url.database
    if engine.dialect.name != "sqlite" or not name or name.startswith((":memory:", "file:")):  # a URI may name anything
        return None
    return Path(name)


class DatabaseFile:
    """Notices when the file has become another one.

    A file that is made after another was removed may get its number. So the one that is watched is held until ``close``, by a
    descriptor that only names it: to close one that can read would let go of SQLite's locks on the file (POSIX).
    """

    def __init__(self, engine: Engine) -> None:
        self._path = path_of(engine)
        self._identity = identity_of(self._path) if self._path else None
        self._held = os.open(self._path, _NAMES_ONLY | os.O_CLOEXEC) if self._path and self._identity and _NAMES_ONLY else None

    def has_changed(self) -> bool:
        """Whether it is gone or another one."""
        if self._path is None:
            return False
        found = identity_of(self._path)
        return found is None or found != self._identity

    def close(self) -> None:
        """Hold the file no longer."""
        if self._held is not None:
            os.close(self._held)
            self._held = None
