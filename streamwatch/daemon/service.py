"""The daemon: runs what ``assembly`` built, and stops it in order."""

from __future__ import annotations

import logging
import threading
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from streamwatch.capture.plans import source_of
from streamwatch.capture.readiness import Readiness
from streamwatch.config.schema import Config
from streamwatch.config.sharding import Share
from streamwatch.daemon.assembly import Components, Surroundings, assemble
from streamwatch.daemon.config_file import ConfigFile, ConfigFollower
from streamwatch.daemon.nightly_process import NightlyProcess, start_update
from streamwatch.daemon.process.signals import handling_signals
from streamwatch.daemon.process.systemd import notify
from streamwatch.daemon.reconfigure import Reconfiguration
from streamwatch.daemon.sharing.held_cameras import held_cameras
from streamwatch.daemon.sharing.model_sync import ModelSync
from streamwatch.daemon.site import FollowedFile, with_servers
from streamwatch.daemon.supervisor import Supervisor
from streamwatch.enums import EndReason
from streamwatch.errors import SourceEmpty, SourceNotFound, StoreError, StreamwatchError
from streamwatch.files import locked
from streamwatch.retry import caught
from streamwatch.scenes.shared_models.use import shared_models_of
from streamwatch.threads import long_lived

log = logging.getLogger(__name__)
STORE_PATIENCE_S = 10.0
"""Longer than SQLite waits for another process's lock, which is 5 s (store.sessions)."""


@dataclass(frozen=True)
class RunResult:
    """How a run ended.

    Attributes:
        received: frames read per camera.
        scored: frames scored per camera.
        failures: the error of every camera whose source failed.
        stopped: whether a signal ended it.
    """

    received: dict[str, int]
    scored: dict[str, int]
    failures: dict[str, StreamwatchError]
    stopped: bool


class Service:
    """The daemon.

    Args:
        until_eof: read files as fast as they are scored, drop nothing, and return when all have ended.
        config_file: followed for changes while it runs; None follows nothing.

    Raises:
        StreamwatchError: something it needs is missing; nothing has been started then.
    """

    def __init__(
        self,
        config: Config,
        *,
        until_eof: bool,
        config_file: ConfigFile | None = None,
        surroundings: Surroundings | None = None,
    ) -> None:
        around = surroundings or Surroundings()
        if around.shard and around.shard.files:
            config = _with_sources(config)
        self._until_eof = until_eof
        self._stop = threading.Event()
        self._stack = ExitStack()
        for camera in config.enabled_cameras:
            source_of(config, camera)  # a path that is not there is a mistake of the caller: said before anything starts
        followed = config_file if not until_eof else None
        asked = threading.Event()
        if around.shard and around.shard.files:
            asked.set()  # what was placed here while this process started is read before it is followed
        watched = FollowedFile(followed.path, asked) if followed else None
        try:
            folder = around.evidence_dir or config.data_dir
            _lock_folder(folder, around.shard, self._stack)
            if around.shard and followed:
                held = self._stack.enter_context(held_cameras(config, around.shard, folder, around.clock, asked.set))
                placed = bool(around.shard.files)
                narrow = (lambda new: held.share_of(_with_sources(new))) if placed else held.share_of
                config, followed = held.share_of(config), replace(followed, narrow=narrow)
                around = replace(around, held=held)
                held.took_up()
            if not until_eof:
                self._stack.enter_context(long_lived())
            parts = assemble(config, around, self._stack, self._stop, until_eof=until_eof)
            self.parts: Components = with_servers(parts, around.evidence_dir or config.data_dir, watched, self._stack)
            store = shared_models_of(config) if followed else None
        except BaseException:
            self._stack.close()
            raise
        self._reconfiguration = Reconfiguration(self.parts, ConfigFollower(followed, asked))
        self._models = ModelSync(store, lambda: parts.fleet.cameras, asked.set, around.clock) if store else None
        updated = partial(_nightly_cameras, parts) if around.held else None  # another process updates what it watches
        self._nightly = NightlyProcess(around.clock, partial(start_update, followed.path, updated)) if followed else None
        self._supervisor = Supervisor(self.parts, self._reconfiguration, self._nightly, self._stop)

    def run(self) -> RunResult:
        """Watch until stopped, or with ``until_eof`` until every source has ended.

        Raises:
            EngineFailure: the device fails for good; StoreError: the database refuses.
        """
        parts = self.parts
        with self._stack:
            self._start()
            notify("READY=1")
            self._supervisor.run()
            stopped = self._stop.is_set()
            stored = self._shut_down(EndReason.SHUTDOWN if stopped else EndReason.NORMAL)
        failure = parts.loop.failure or parts.publisher.failure
        if failure is not None:
            raise failure
        if not stored:
            raise StoreError("not all that happened was stored", hint="the database does not answer: check its disk")
        return self._result(stopped)

    def stop(self) -> None:
        """Ask the run to end; open events are closed as ``shutdown``."""
        self._stop.set()

    def close(self) -> None:
        """Let go of all that is open, of a daemon that is not run; one that ran has."""
        self._stack.close()

    def reload(self) -> None:
        """Read the configuration again soon."""
        self._reconfiguration.ask()

    def handling_signals(self) -> AbstractContextManager[None]:
        """Stop on SIGTERM and SIGINT, a second one exits at once; read the configuration again on SIGHUP."""
        return handling_signals(self._stop, self.reload)

    def readiness(self) -> Readiness:
        """Whether enough cameras scored a frame lately."""
        return self.parts.readiness()

    def _start(self) -> None:
        parts = self.parts
        for server in parts.servers:
            server.start(parts.guard)
        if parts.held:
            parts.held.start(parts.guard)
        if parts.registration:
            parts.registration.start(parts.guard)
        if self._models:
            self._models.start(parts.guard)
        parts.persistence.start(parts.guard, retain=not self._until_eof)
        parts.writer.start(parts.guard)
        parts.publisher.start(parts.guard)
        parts.clips.start(parts.guard)
        parts.loop.start()
        if parts.jobs:
            parts.jobs.start(parts.guard)
        if not self._until_eof:
            parts.recalibration.start(parts.guard)
        for camera in parts.fleet.cameras:
            parts.fleet.start(camera)

    def _shut_down(self, reason: EndReason) -> bool:
        """The cameras first, then who takes what they gave, each although what is before it may refuse or hang.

        Returns whether all that happened is stored.
        """
        notify("STOPPING=1")
        parts, config = self.parts, self.parts.config.value
        if self._nightly:
            self._nightly.stop()
        if self._models:
            self._models.stop()
        if parts.jobs:
            parts.jobs.stop()
        timeout_s = config.shutdown_timeout / 2
        with ExitStack() as then:  # the last first
            drain_s = config.drain_timeout if reason == EndReason.NORMAL else 0.0
            then.callback(parts.persistence.finish, drain_s=drain_s, stop_s=config.shutdown_timeout)
            then.callback(parts.writer.stop)
            then.callback(parts.clips.stop)
            then.callback(parts.fleet.stop, timeout_s)
            if parts.loop.stop(timeout_s):
                parts.pipeline.end_all(reason)
            else:
                log.error("the engine did not stop in time; what is open is closed by the next start")
            parts.recalibration.stop(timeout_s)  # before the publisher: it may have something to tell
            # At the end of recordings the database may take as long as deliveries may.
            patience_s = config.drain_timeout if reason == EndReason.NORMAL else timeout_s
            return parts.publisher.stop(max(patience_s, STORE_PATIENCE_S))

    def _result(self, stopped: bool) -> RunResult:
        status, cameras = self.parts.status, self.parts.fleet.cameras
        failures = {camera: error for camera, error in self.parts.ends.ended.items() if error}
        received = {camera: status.received(camera) for camera in cameras}
        scored = {camera: status.scored(camera) for camera in cameras}
        return RunResult(received, scored, failures, stopped)


def _nightly_cameras(parts: Components) -> list[str]:
    """Of those that are watched here, the ones that have a nightly update."""
    config = parts.config.value
    return [camera for camera in parts.fleet.cameras if config.settings(camera).nightly_update]


def _with_sources(config: Config) -> Config:
    """Without the cameras whose recordings are not here, of which whoever placed them knows nothing: the others are watched."""
    found = {camera: caught(partial(source_of, config, camera)) for camera in config.enabled_cameras}
    missing = {camera: error for camera, error in found.items() if isinstance(error, SourceNotFound | SourceEmpty)}
    for camera, error in missing.items():
        log.error("camera %s is not watched: %s", camera, error, extra={"camera": camera})
    there = {camera: of for camera, of in config.cameras.items() if camera not in missing}
    return config.model_copy(update={"cameras": there})


def _lock_folder(folder: Path, shard: Share | None, stack: ExitStack) -> None:
    """One process watches with a folder; or the shards of one site, each once."""
    stack.enter_context(locked(folder / "run.lock", shared=shard is not None))
    if shard:
        stack.enter_context(locked(folder / shard.lock_name))
