"""Which of a configuration's cameras a process takes, when several share them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from streamwatch.config.schema import Config
from streamwatch.errors import UsageError


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

    def takes(self, camera: str) -> bool:
        """Whether a camera is this process's."""
        return max(range(self.count), key=lambda index: _weight(camera, index)) == self.index

    def share_of(self, config: Config) -> Config:
        """The configuration with this process's cameras alone; it may be none."""
        cameras = {name: camera for name, camera in config.cameras.items() if self.takes(name)}
        return config.model_copy(update={"cameras": cameras})


def _weight(camera: str, index: int) -> bytes:
    return hashlib.sha256(f"{index}/{camera}".encode()).digest()


def spread_of(cameras: Sequence[str], count: int) -> list[list[str]]:
    """Which cameras each of ``count`` processes takes."""
    shards = [Shard(index, count) for index in range(count)]
    return [[camera for camera in cameras if shard.takes(camera)] for shard in shards]
