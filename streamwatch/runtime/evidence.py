"""What a person needs to judge an event: its first and its strongest picture, the heat map over it, and the map itself.

A file of each kind, named by the event's id, and last ``evidence/ID.json``, which says what they are, by which model and
configuration they came about, and the sha256 of each. Written as a whole or not at all; a disk that is full stops evidence, and
never detection.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from streamwatch import __version__
from streamwatch.errors import UsageError
from streamwatch.events.wire import event_document
from streamwatch.records import Event, FrameScore
from streamwatch.runtime.snapshots import Polygons, SnapshotWriter
from streamwatch.video.output import write_atomically
from streamwatch.video.overlay import black_out, encode_jpeg

log = logging.getLogger(__name__)
KINDS = {
    "starts": ".jpg",
    "peaks": ".jpg",
    "snapshots": ".jpg",
    "maps": ".npz",
    "inputs": ".npz",
    "evidence": ".json",
}
"""Folder by folder: the picture at the start and at the peak, the peak with its heat map, the map, what the model saw, and the
document."""
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


class EvidenceKeeper:
    """Keeps what it needs of each pending or open event, and writes it when the event starts and ends."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._snapshots = SnapshotWriter(folder / "snapshots")
        self._privacy: dict[str, Polygons] = {}
        self._facts: dict[str, Mapping[str, Any]] = {}
        self._starts: dict[tuple[str, str], FrameScore] = {}
        self._peaks: dict[tuple[str, str], FrameScore] = {}

    def protect(self, camera: str, polygons: Polygons) -> None:
        """Black out ``polygons`` in every picture of ``camera``."""
        self._privacy[camera] = polygons
        self._snapshots.protect(camera, polygons)

    def describe(self, camera: str, facts: Mapping[str, Any]) -> None:
        """What every document of ``camera`` says of how it came about, JSON-ready and without secrets."""
        self._facts[camera] = facts

    def note(self, scored: FrameScore, zone: str) -> None:
        """A frame of what is pending or open in a zone of its camera; the first one is its start."""
        self._starts.setdefault((scored.frame.camera, zone), scored)

    def note_peak(self, scored: FrameScore, zone: str) -> None:
        """The frame that is the strongest so far."""
        self._peaks[scored.frame.camera, zone] = scored
        self._snapshots.note_peak(scored, zone)

    def forget(self, camera: str, zone: str) -> None:
        """What was pending came to nothing."""
        self._starts.pop((camera, zone), None)
        self._peaks.pop((camera, zone), None)

    def begin(self, event: Event) -> None:
        """Write the picture that the event began with."""
        scored = self._starts.get((event.camera, event.zone))
        if scored is not None:
            self._write_picture("starts", event, scored)

    def finish(self, event: Event) -> Path | None:
        """Write everything else; the heat map's path, None if there is none."""
        scored = self._peaks.get((event.camera, event.zone))
        snapshot = self._snapshots.write(event)
        if scored is not None:
            self._write_picture("peaks", event, scored)
            self._write("maps", event, _encoded_maps(scored))
        self.forget(event.camera, event.zone)
        self._write("evidence", event, json.dumps(self._document(event), indent=1).encode())
        return snapshot

    def _write_picture(self, kind: str, event: Event, scored: FrameScore) -> None:
        if scored.frame.picture is not None:
            picture = black_out(scored.frame.picture.rgb(), self._privacy.get(event.camera, ()))
            self._write(kind, event, encode_jpeg(picture))

    def _write(self, kind: str, event: Event, content: bytes) -> None:
        path = path_of(self._folder, kind, event.id)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, content)
        except (OSError, UsageError) as error:
            log.warning("%s of event %s not written: %s", kind, event.id, error)

    def _document(self, event: Event) -> dict[str, Any]:
        paths = [path_of(self._folder, kind, event.id) for kind in KINDS if kind != "evidence"]
        files = {f"{path.parent.name}/{path.name}": digest for path in paths if (digest := _sha256(path))}
        made = {"streamwatch": __version__, "python": platform.python_version(), **self._facts.get(event.camera, {})}
        return {"event": event_document(event), "made_by": made, "sha256": files}


def check_document(folder: Path, event_id: str) -> Sequence[str]:
    """What of an event's evidence is not as its document says; nothing if all is, or if it has none."""
    try:
        expected = json.loads(path_of(folder, "evidence", event_id).read_text())["sha256"]
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, KeyError) as error:
        return (f"evidence/{event_id}.json: cannot be read ({error})",)
    found = {name: _sha256(folder / name) for name in expected}
    return [f"{name}: {'altered' if found[name] else 'missing'}" for name in expected if found[name] != expected[name]]


def _encoded_maps(scored: FrameScore) -> bytes:
    """The peak's maps as .npz: ``level``, filtered over time, and ``score``, the frame by itself; (h, w) float16."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, level=scored.level_grid.astype(np.float16), score=scored.grid.astype(np.float16))
    return buffer.getvalue()


def _sha256(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None
