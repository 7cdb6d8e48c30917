"""Following a configuration file: on SIGHUP, or when it changes. An invalid file changes nothing."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from streamwatch.config.loading import load_config
from streamwatch.config.schema import Config
from streamwatch.config.sharding import Share
from streamwatch.errors import StreamwatchError
from streamwatch.retry import caught

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ConfigFile:
    """Where the configuration is, and what the command line says about it.

    Attributes:
        shard: which of its cameras are this process's; None is all.
        overrides: top-level keys that the command line sets, whatever the file says, at every reading.
        narrow: takes away the cameras that are not this process's at present.
    """

    path: Path
    shard: Share | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    narrow: Callable[[Config], Config] = lambda config: config

    def load(self) -> Config:
        """Read it. Raises as ``load_config``."""
        config = load_config(self.path)
        config = config.model_copy(update=dict(self.overrides)) if self.overrides else config
        return self.narrow(self.shard.share_of(config) if self.shard else config)


class WholeFile:
    """All cameras of a file of which a process watches a share; read again when it changes.

    Args:
        known: what holds until it was read; a file that cannot be used changes nothing.
    """

    def __init__(self, path: Path, known: Config) -> None:
        self._path, self._known = path, known
        self._stamp: tuple[int, int] | None = None
        self._reading = threading.Lock()

    def read(self) -> Config:
        """The configuration, as the file has it; asked from any thread."""
        with self._reading:
            try:
                stat = self._path.stat()
                before, self._stamp = self._stamp, (stat.st_mtime_ns, stat.st_size)
                if self._stamp != before:  # one that cannot be used is tried once, and not at each question
                    self._known = load_config(self._path)
            except (OSError, StreamwatchError):
                return self._known
            return self._known


class CurrentConfig:
    """The configuration that is in force; set by a reload.

    Attributes:
        refused: why the last one was not taken up; None if it was.
    """

    def __init__(self, value: Config) -> None:
        self.value = value
        self.refused: str | None = None


class ConfigFollower:
    """Watches one file.

    Args:
        file: None follows nothing.
        asked: set by whoever wants the file read again, changed or not.
    """

    def __init__(self, file: ConfigFile | None, asked: threading.Event | None = None) -> None:
        self._file = file
        self._asked = asked or threading.Event()
        self._stamp: tuple[tuple[int, int], ...] | None = None
        self._stamp = self._stamp_now()

    def ask(self) -> None:
        """Read the file again at the next poll, changed or not."""
        self._asked.set()

    def poll(self) -> Config | Exception | None:
        """The configuration if it is to be read again, the error if it cannot be used, None if nothing happened."""
        stamp = self._stamp_now()
        if self._file is None or (stamp == self._stamp and not self._asked.is_set()):
            return None
        self._stamp = stamp
        self._asked.clear()
        loaded: list[Config] = []
        failure = caught(partial(self._load_into, loaded))
        if failure is not None and not isinstance(failure, StreamwatchError):
            log.error("internal fault while %s was read", self._file.path, exc_info=failure)
        return failure or loaded[0]

    def _load_into(self, loaded: list[Config]) -> None:
        if self._file is not None:
            loaded.append(self._file.load())

    def _stamp_now(self) -> tuple[tuple[int, int], ...] | None:
        """Modification times and sizes; as before while a file is away, as it is for a moment when an editor replaces it."""
        if self._file is None:
            return None
        try:
            stats = [path.stat() for path in (self._file.path, *(self._file.shard.files if self._file.shard else ()))]
        except OSError:
            return self._stamp
        return tuple((stat.st_mtime_ns, stat.st_size) for stat in stats)
