"""What a machine and a store had in common last, in a note beside the models."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from streamwatch.files import write_atomically

Stamp = list[int]
"""Size, time and inode of a file: while they are the same, so is what is in it."""


@dataclass(frozen=True)
class Known:
    """sha256 and stamp of each file that both had; of one that was fetched no stamp, so that it is read once more."""

    files: Mapping[str, str] = field(default_factory=dict)
    stamps: Mapping[str, Stamp | None] = field(default_factory=dict)


class CommonState:
    """One camera's note.

    Args:
        store: the store's address, of which a hash is kept: another store is another history, and an address may hold a secret.
    """

    def __init__(self, path: Path, store: str) -> None:
        self.path, self._of = path, hashlib.sha256(store.encode()).hexdigest()

    def read(self) -> Known:
        """What was written down; nothing of another store, or of a note that is damaged."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            document = json.loads(self.path.read_text(encoding="utf-8"))
            if document["of"] == self._of:
                return Known(dict(document["files"]), dict(document["stamps"]))
        return Known()

    def write(self, known: Known, before: Known) -> None:
        """Write it down, if it is not what was there before; raises UsageError where the folder cannot be written."""
        if known != before:
            document = {"of": self._of, "files": dict(known.files), "stamps": dict(known.stamps)}
            write_atomically(self.path, json.dumps(document))
