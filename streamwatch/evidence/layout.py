"""Where an event's evidence lies: a folder of each kind, and in it a file named by the event's id."""

from __future__ import annotations

from pathlib import Path

KINDS = {
    "starts": ".jpg",
    "peaks": ".jpg",
    "snapshots": ".jpg",
    "maps": ".npz",
    "scores": ".svg",
    "clips": ".mp4",
    "inputs": ".npz",
    "evidence": ".json",
}
"""Folder by folder: the picture at the start and at the peak, the peak with its heat map, the map, the score over time, the
video, what the model saw, and the document."""
_ID_LENGTH = 36


def evidence_of(folder: Path) -> dict[str, list[Path]]:
    """All files of evidence in ``folder``, by the id of their event."""
    found: dict[str, list[Path]] = {}
    for kind, suffix in KINDS.items():
        for path in (folder / kind).glob(f"*{suffix}"):
            if len(path.stem) == _ID_LENGTH:
                found.setdefault(path.stem, []).append(path)
    return found


def path_of(folder: Path, kind: str, event_id: str) -> Path:
    """Where an event's file of a kind is."""
    return folder / kind / f"{event_id}{KINDS[kind]}"
