"""What was done to a camera's model and its thresholds: a line for each change, beside the model file."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streamwatch.documents import iso_time
from streamwatch.enums import ModelChangeKind
from streamwatch.errors import UsageError
from streamwatch.files import write_atomically

log = logging.getLogger(__name__)
MAX_BYTES = 1_000_000
KEPT_LINES = 1000
"""Of a history that has grown too long."""


@dataclass(frozen=True, slots=True)
class ModelChange:
    """One change.

    Attributes:
        by: ``daemon`` if it was the daemon's own, ``command`` if a person had it done.
        text: what it came to, for people.
        detail: the same for programs.
    """

    at_wall_s: float
    kind: ModelChangeKind
    by: str
    text: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)


def history_path(model_path: Path) -> Path:
    """Where the history of the model at ``model_path`` is."""
    return model_path.with_name(f"{model_path.stem}.history.jsonl")


def record_change(model_path: Path, change: ModelChange) -> None:
    """Add a line, which is on the disk when this returns; a disk that refuses is warned of, because the change was made."""
    path = history_path(model_path)
    line = json.dumps({"time": iso_time(change.at_wall_s), "at": change.at_wall_s, "change": change.kind, "by": change.by,
                       "text": change.text, **change.detail})  # fmt: skip
    try:
        _shorten(path)
        with path.open("ab") as file:
            # A line that a crash cut short stays one that is left out.
            file.write((b"" if _ends_with_newline(path) else b"\n") + line.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except (OSError, UsageError) as error:
        log.warning("%s: the change is not in the history (%s)", path, error)


def read_history(model_path: Path) -> Iterator[dict[str, Any]]:
    """The changes, the oldest first; none if there is no history."""
    path = history_path(model_path)
    for line in path.read_text(errors="replace").splitlines() if path.is_file() else ():
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict) and "change" in found:
            yield found


def _shorten(path: Path) -> None:
    if path.is_file() and path.stat().st_size > MAX_BYTES:
        write_atomically(path, "\n".join(path.read_text(errors="replace").splitlines()[-KEPT_LINES:]) + "\n")


def _ends_with_newline(path: Path) -> bool:
    content = path.stat().st_size
    if not content:
        return True
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
