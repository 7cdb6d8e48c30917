"""Of the cameras that a process could watch, those that are its own at present: each has a lease in the database.

Two processes that are given one camera, by mistake or because one of them was thought dead, are no danger: one of them watches
it, the other waits for it, and what the first still writes after it lost it is refused (``store.processes.leases``).
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from streamwatch.clock import Clock
from streamwatch.config.schema import Config
from streamwatch.config.sharding import Share
from streamwatch.errors import StoreError
from streamwatch.files import write_atomically
from streamwatch.inference.engine import WatchedScene
from streamwatch.scenes.model_files import Kept
from streamwatch.store.processes.leases import CameraLeases
from streamwatch.store.sessions import open_database_of
from streamwatch.threads import ThreadGuard

log = logging.getLogger(__name__)
LEASE_S = 15.0
"""Of a process that dies the cameras are another's after so long: one renewal of three may fail, after 5 s at a lock."""
RENEWED_EVERY_S = LEASE_S / 3
UNWATCHED_S = 30.0
"""What is held for so long and not watched, because a model is missing here or a configuration is refused, is left to others,
and tried again after as long."""
STOP_S = 5.0


class HeldCameras:
    """Takes and renews leases of what a configuration asks for.

    Args:
        on_changed: told while what is held is not what is watched, again with each renewal, from the thread that renews.
        shard: the share that this process takes, as people write it.

    Attributes:
        holder: the process's name among all of the site's.
    """

    def __init__(self, leases: CameraLeases, clock: Clock, on_changed: Callable[[], None], shard: str = "") -> None:
        self.shard, self.holder = shard, leases.holder
        self._leases, self._clock, self._on_changed = leases, clock, on_changed
        self._lock = threading.Lock()
        self._in_force: frozenset[str] = frozenset()
        self._asked: frozenset[str] = frozenset()
        self._watched: Mapping[str, int] = {}
        self._narrowed: Mapping[str, int] = {}
        self._held: Mapping[str, int] = {}
        self._last: dict[str, int] = {}
        self._left: frozenset[str] = frozenset()
        self._unwatched_since_s: float | None = None
        self._renewed_s = clock.monotonic_s()
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
        elif not self._renewed() and not self._held:
            raise StoreError("cameras could not be leased", hint="check the database")
        held = self._held
        # One that was lost and taken again is left out once: what it still has open is another process's to tell of by now.
        self._narrowed = {
            name: held[name] for name in self._asked & held.keys() if self._watched.get(name, held[name]) == held[name]
        }
        self._last.update(self._narrowed)
        left_out = self._asked - self._narrowed.keys()
        cameras = {name: camera for name, camera in config.cameras.items() if name not in left_out}
        return config.model_copy(update={"cameras": cameras})

    def took_up(self) -> None:
        """What was asked for last is in force: what it no more asks for may be another's."""
        self._in_force, self._watched = self._asked, self._narrowed

    def token_of(self, camera: str) -> int | None:
        """What of a camera is written with: the token that it had when this process began to watch it, lost or not."""
        return self._last.get(camera)

    def refused(self) -> None:
        """What was asked for last is not taken up."""
        self._asked = self._in_force

    def renewing(self, kept: Kept) -> Kept:
        """The same, and what is held is renewed meanwhile: many models take longer to load than a lease lasts."""

        def also_renewed(camera: str, scene: WatchedScene) -> WatchedScene:
            if self._clock.monotonic_s() - self._renewed_s >= RENEWED_EVERY_S:
                self._renewed()
            return kept(camera, scene)

        return also_renewed

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
        if self._thread is None:
            self._release()
        else:
            self._thread.join(STOP_S)  # one that hangs in the database is left behind

    def _keep(self) -> None:
        while not self._stop.is_set():
            self.run_once()
            self._clock.wait(self._wake, RENEWED_EVERY_S)
            self._wake.clear()
        self._release()

    def _release(self) -> None:
        try:
            self._leases.release()
        except StoreError as error:
            log.warning("%s: others take this process's cameras when its leases end", error)

    def run_once(self) -> None:
        """Renew, and say so if what is held is not what is watched; what this process cannot watch is left to others."""
        if not self._renewed():
            return
        wanted = {name: token for name, token in self._held.items() if name in self._in_force}
        self._leave(frozenset(name for name, token in wanted.items() if self._watched.get(name) != token))
        if wanted != self._watched:
            self._on_changed()

    def _leave(self, unwatched: frozenset[str]) -> None:
        """Leave to others what is held and not watched, and try again later."""
        now_s = self._clock.monotonic_s()
        if not unwatched and not self._left:
            self._unwatched_since_s = None
        elif self._unwatched_since_s is None:
            self._unwatched_since_s = now_s
        elif now_s - self._unwatched_since_s >= UNWATCHED_S:
            self._left, self._unwatched_since_s = frozenset() if self._left else unwatched, now_s

    def _renewed(self) -> bool:
        """Take and renew; False if the database refuses: what is held is held until another process takes it."""
        with self._lock:
            before = self._held
            try:
                self._held = self._leases.hold((self._in_force | self._asked) - self._left)
            except StoreError as error:
                log.log(logging.DEBUG if self._refused else logging.WARNING, "%s", error)
                self._refused = True
                return False
            self._refused, self._renewed_s = False, self._clock.monotonic_s()
            self._tell(before)
            return True

    def _tell(self, before: Mapping[str, int]) -> None:
        for camera in sorted((before.keys() - self._held.keys()) & (self._in_force | self._asked)):
            log.error("camera %s: another process watches it now", camera, extra={"camera": camera})
        for camera in sorted(self._held.keys() - before.keys()):
            log.info("camera %s: watched by this process, token %d", camera, self._held[camera], extra={"camera": camera})


@contextmanager
def held_cameras(
    config: Config, shard: Share, folder: Path, clock: Clock, on_changed: Callable[[], None]
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
        holder = f"shard {shard.name} of {_name_of(folder)}"
        held = HeldCameras(CameraLeases(database, holder, clock=clock, lasts_s=LEASE_S), clock, on_changed, shard.name)
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
