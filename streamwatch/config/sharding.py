"""Which of a configuration's cameras a process takes, when several share them."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from streamwatch.config.schema import Config
from streamwatch.errors import ConfigError, UsageError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Shard:
    """Process ``index`` of ``count``, counted from 0.

    Cameras are shared by rendezvous hashing (Thaler and Ravishankar 1998): each goes to the process that its name, hashed
    with the process's number, gives the highest value. One process more takes 1/N of the cameras, and moves no other.
    """

    index: int
    count: int

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise UsageError(f"shard {self.index}/{self.count}: K/N takes K from 0 to N-1", hint="of three: 0/3, 1/3 and 2/3")

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read K/N.

        K may be a name that ends in a number, as a StatefulSet's pods have: ``streamwatch-2/3`` is ``2/3``.

        Raises:
            UsageError: it is neither.
        """
        match = re.fullmatch(r"(?:.+-)?(\d{1,6})/(\d{1,6})", text.strip())
        if not match:
            raise UsageError(f"shard {text!r} is not K/N", hint="of three: 0/3, 1/3 and 2/3")
        return cls(int(match[1]), int(match[2]))

    @property
    def name(self) -> str:
        """As people write it."""
        return f"{self.index}/{self.count}"

    @property
    def lock_name(self) -> str:
        """Of the file that keeps a second process of this share out of the data folder."""
        return f"run.{self.index}-of-{self.count}.lock"

    @property
    def files(self) -> tuple[Path, ...]:
        """It is said on the command line."""
        return ()

    def takes(self, camera: str) -> bool:
        """Whether a camera is this process's."""
        return max(range(self.count), key=lambda index: _weight(camera, index)) == self.index

    def share_of(self, config: Config) -> Config:
        """The configuration with this process's cameras alone; it may be none."""
        cameras = {name: camera for name, camera in config.cameras.items() if self.takes(name)}
        return config.model_copy(update={"cameras": cameras})


@dataclass(frozen=True, slots=True)
class PlacedShare:
    """The cameras that a file names, which whoever places cameras writes, and which may change at any time.

    Attributes:
        path: JSON, {"cameras": [NAME, ...]}; its name is the process's.
        fetch: told of a camera whose model is not here, before it is left out.
    """

    path: Path
    fetch: Callable[[Config, str], object] = lambda _config, _camera: None

    @property
    def name(self) -> str:
        """The file's, without its ending."""
        return self.path.stem

    @property
    def lock_name(self) -> str:
        """See ``Shard.lock_name``."""
        return f"run.{self.name}.lock"

    @property
    def files(self) -> tuple[Path, ...]:
        """The file: it is read again when it changes."""
        return (self.path,)

    def share_of(self, config: Config) -> Config:
        """The configuration with the named cameras alone; those that it does not have are another configuration's.

        One without a model is left out, so that the others are watched: whoever placed it here knows of no models.

        Raises:
            ConfigError: the file cannot be read, or is not of this form.
        """
        try:
            listed = json.loads(self.path.read_text(encoding="utf-8"))["cameras"]
            mine = {str(name) for name in listed}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"no list of cameras ({error})", where=self.path, hint='write {"cameras": ["front-door"]}'
            ) from None
        named = {name: camera for name, camera in config.cameras.items() if name in mine}
        for name in [name for name, camera in named.items() if camera.enabled and not self._has_model(config, name)]:
            log.error("camera %s has no model here, and is not watched: learn it with `streamwatch fit`", name)
            del named[name]
        return config.model_copy(update={"cameras": named})

    def _has_model(self, config: Config, camera: str) -> bool:
        path = config.model_path(camera)
        if not path.is_file():
            self.fetch(config, camera)
        return path.is_file()


class Share(Protocol):
    """Which of a configuration's cameras are one process's."""

    @property
    def name(self) -> str:
        """Of the process."""
        ...

    @property
    def lock_name(self) -> str:
        """Of the file that keeps a second process of this share out of the data folder."""
        ...

    @property
    def files(self) -> tuple[Path, ...]:
        """What it is read from."""
        ...

    def share_of(self, config: Config) -> Config:
        """The configuration with this process's cameras alone; it may be none."""
        ...


def _weight(camera: str, index: int) -> bytes:
    return hashlib.sha256(f"{index}/{camera}".encode()).digest()


def spread_of(cameras: Sequence[str], count: int) -> list[list[str]]:
    """Which cameras each of ``count`` processes takes."""
    shards = [Shard(index, count) for index in range(count)]
    return [[camera for camera in cameras if shard.takes(camera)] for shard in shards]
