"""Of the cameras that a process could watch, those that are its own at present: each has a lease in the database.

Two processes that are given one camera, by mistake or because one of them was thought dead, are no danger: one of them watches
it, the other waits for it, and what the first still writes after it lost it is refused (``store.camera_leases``).
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from streamwatch.clock import Clock
from streamwatch.config.schema import Config
from streamwatch.config.sharding import Shard
from streamwatch.daemon.config_file import ConfigFile
from streamwatch.errors import StoreError
from streamwatch.files import write_atomically
from streamwatch.store.camera_leases import CameraLeases
from streamwatch.store.sessions import open_database_of
from streamwatch.threads import ThreadGuard

log = logging.getLogger(__name__)
LEASE_S = 15.0
"""Of a process that dies the cameras are another's after so long: three renewals, each of which may wait 5 s for a lock."""
RENEWED_EVERY_S = LEASE_S / 3
STOP_S = 5.0


class HeldCameras:
    """Takes and renews leases of what a configuration asks for.

    Args:
        on_changed: told while what is held is not what is watched, again with each renewal, from the thread that renews.
    """

    def __init__(self, leases: CameraLeases, clock: Clock, on_changed: Callable[[], None]) -> None:
        self._leases, self._clock, self._on_changed = leases, clock, on_changed
        self._lock = threading.Lock()
        self._in_force: frozenset[str] = frozenset()
        self._asked: frozenset[str] = frozenset()
        self._watched: frozenset[str] = frozenset()
        self._narrowed: frozenset[str] = frozenset()
        self._held: Mapping[str, int] = {}
        self._last: dict[str, int] = {}
        self._refused = False
        self._stop, self._wake = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def share_of(self, config: Config) -> Config:
        """A configuration with the cameras alone that are this process's at present; those that it asks for are taken.

        What is watched stays this process's until ``took_up``: the configuration may be refused. Once ``start`` was called, a
        database that hangs holds up nobody: what is new is taken by the thread that renews, which tells of it.

        Raises:
            StoreError: the database refuses, and nothing was ever taken.
        """
        self._asked = frozenset(config.enabled_cameras)
        if self._thread is not None:
            self._wake.set()
        elif not self._renewed() and not self._last:
            raise StoreError("cameras could not be leased", hint="check the database")
        self._narrowed = self._asked & self._held.keys()
        left_out = self._asked - self._narrowed
        cameras = {name: camera for name, camera in config.cameras.items() if name not in left_out}
        return config.model_copy(update={"cameras": cameras})

    def followed(self, file: ConfigFile) -> ConfigFile:
        """The same file, read as ``share_of`` has it."""
        return replace(file, narrow=self.share_of)

    def took_up(self) -> None:
        """What was asked for last is in force: what it no more asks for may be another's."""
        self._in_force, self._watched = self._asked, self._narrowed

    def token_of(self, camera: str) -> int | None:
        """What of a camera is written with: the token that it had when this process last held it, lost or not."""
        return self._last.get(camera)

    def elsewhere(self) -> list[str]:
        """The cameras that this process would watch, and another one does."""
        return sorted(self._in_force - self._held.keys())

    def start(self, guard: ThreadGuard) -> None:
        """Begin to renew."""
        self._thread = guard.start("leases", self._keep, self._stop)

    def stop(self) -> None:
        """Renew no more, and give everything back."""
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(STOP_S)
            if self._thread.is_alive():  # in the database, which would not take anything back either
                return
        try:
            self._leases.release()
        except StoreError as error:
            log.warning("%s: others take this process's cameras when its leases end", error)

    def _keep(self) -> None:
        while not self._stop.is_set():
            self.run_once()
            self._clock.wait(self._wake, RENEWED_EVERY_S)
            self._wake.clear()

    def run_once(self) -> None:
        """Renew, and say so if what is held is not what is watched."""
        if self._renewed() and self._in_force & self._held.keys() != self._watched:
            self._on_changed()

    def _renewed(self) -> bool:
        """Take and renew; False if the database refuses: what is held is held until another process takes it."""
        with self._lock:
            before = self._held
            try:
                self._held = self._leases.hold(self._in_force | self._asked)
            except StoreError as error:
                log.log(logging.DEBUG if self._refused else logging.WARNING, "%s", error)
                self._refused = True
                return False
            self._refused = False
            self._last.update(self._held)
            self._tell(before)
            return True

    def _tell(self, before: Mapping[str, int]) -> None:
        for camera in sorted((before.keys() - self._held.keys()) & (self._in_force | self._asked)):
            log.error("camera %s: another process watches it now", camera, extra={"camera": camera})
        for camera in sorted(self._held.keys() - before.keys()):
            log.info("camera %s: watched by this process, token %d", camera, self._held[camera], extra={"camera": camera})


@contextmanager
def held_cameras(
    config: Config, shard: Shard, folder: Path, clock: Clock, on_changed: Callable[[], None]
) -> Iterator[HeldCameras]:
    """What a shard holds, given back at the end.

    The connections are its own: however much waits for the database, leases are renewed.

    Args:
        folder: where the process keeps what is its own.

    Raises:
        StoreError: the database cannot be opened.
    """
    database = open_database_of(config, folder)
    try:
        holder = f"shard {shard.index}/{shard.count} of {_name_of(folder)}"
        held = HeldCameras(CameraLeases(database, holder, clock=clock, lasts_s=LEASE_S), clock, on_changed)
        try:
            yield held
        finally:
            held.stop()
    finally:
        database.dispose()


def _name_of(folder: Path) -> str:
    """A name that no other folder has, and that stays: a process that is started again takes its own leases back at once."""
    path = folder / "instance"
    if not path.is_file():
        write_atomically(path, uuid.uuid4().hex[:12].encode())
    return path.read_text(encoding="ascii").strip()
