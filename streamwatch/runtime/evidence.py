"""Where the evidence of events lies: a file of each kind, named by the event's id."""

from __future__ import annotations

from pathlib import Path

KINDS = {"snapshots": ".jpg", "inputs": ".npz"}
"""Folder by folder: heat maps of the peak, and what the model saw."""
_ID_LENGTH = 36


def evidence_of(folder: Path) -> dict[str, list[Path]]:
    """All files of evidence in ``folder``, by the id of their event."""
    found: dict[str, list[Path]] = {}
    for kind, suffix in KINDS.items():
        for path in (folder / kind).glob(f"*{suffix}"):
            if len(path.stem) == _ID_LENGTH:
                found.setdefault(path.stem, []).append(path)
    return found
