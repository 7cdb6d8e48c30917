"""What a person needs to judge an event: pictures, the heat map, the map itself, the course of the score, and a clip.

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
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from streamwatch import __version__
from streamwatch.errors import UsageError
from streamwatch.events.wire import event_document
from streamwatch.logs import about
from streamwatch.records import Event, FrameScore
from streamwatch.runtime.snapshots import NO_PRIVACY, Privacy, SnapshotWriter
from streamwatch.runtime.sparkline import Levels, draw_sparkline
from streamwatch.video.output import write_atomically
from streamwatch.video.overlay import encode_jpeg

log = logging.getLogger(__name__)
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


Done = Callable[[Event, Mapping[str, Any]], None]


class ClipKeeper(Protocol):
    """Keeps the video of events."""

    def begin(self, event: Event) -> None:
        """An event started."""
        ...

    def extend(self, camera: str, zone: str, time_s: float) -> None:
        """What is seen at ``time_s`` belongs to the event of a zone, if one is open."""
        ...

    def finish(self, event: Event, done: Done) -> None:
        """An event ended; ``done`` is told what its clip came to, when that is known, by another thread."""
        ...


class NoClips:
    """Keeps none."""

    def begin(self, event: Event) -> None:
        """See ClipKeeper."""

    def extend(self, camera: str, zone: str, time_s: float) -> None:
        """See ClipKeeper."""

    def finish(self, event: Event, done: Done) -> None:
        """See ClipKeeper."""


class EvidenceKeeper:
    """Keeps what it needs of each pending or open event, and writes it when the event starts and ends.

    Args:
        clips: keeps its video.
        on_written: told after every file whether it could be written.
    """

    def __init__(
        self, folder: Path, clips: ClipKeeper | None = None, on_written: Callable[[bool], None] = lambda _: None
    ) -> None:
        self._folder, self._clips, self._on_written = folder, clips or NoClips(), on_written
        self._snapshots = SnapshotWriter(folder / "snapshots")
        self._privacy: dict[str, Privacy] = {}
        self._levels: dict[tuple[str, str], Levels] = {}
        self._facts: dict[str, Mapping[str, Any]] = {}
        self._starts: dict[tuple[str, str], FrameScore] = {}
        self._peaks: dict[tuple[str, str], FrameScore] = {}

    def protect(self, camera: str, privacy: Privacy) -> None:
        """Cover every picture of ``camera`` that is written."""
        self._privacy[camera] = privacy
        self._snapshots.protect(camera, privacy)

    def describe(self, camera: str, facts: Mapping[str, Any]) -> None:
        """What every document of ``camera`` says of how it came about, JSON-ready and without secrets."""
        self._facts[camera] = facts

    def note(self, scored: FrameScore, zone: str) -> None:
        """A frame of what is pending or open in a zone of its camera; the first one is its start."""
        camera = scored.frame.camera
        self._starts.setdefault((camera, zone), scored)
        self._clips.extend(camera, zone, scored.frame.time_s)

    def note_level(self, scored: FrameScore, zone: str, level: float, *, keep: bool) -> None:
        """A zone's level in a frame, whatever it is; ``keep`` while something is pending or open there."""
        self._levels.setdefault((scored.frame.camera, zone), Levels()).add(scored.frame.time_s, level, keep=keep)

    def note_peak(self, scored: FrameScore, zone: str) -> None:
        """The frame that is the strongest so far."""
        self._peaks[scored.frame.camera, zone] = scored
        self._snapshots.note_peak(scored, zone)

    def forget(self, camera: str, zone: str) -> None:
        """What was pending came to nothing."""
        self._starts.pop((camera, zone), None)
        self._peaks.pop((camera, zone), None)

    def begin(self, event: Event) -> None:
        """Write the picture that the event began with, and begin its clip."""
        self._clips.begin(event)
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
        self._write_scores(event)
        self.forget(event.camera, event.zone)
        self.document(event)
        self._clips.finish(event, self.document)
        return snapshot

    def document(self, event: Event, clip: Mapping[str, Any] | None = None) -> None:
        """Write what the event's files are; again when its clip is complete, with what is known of that."""
        self._write("evidence", event, json.dumps(self._document(event, clip), indent=1).encode())

    def _write_scores(self, event: Event) -> None:
        levels = self._levels.get((event.camera, event.zone))
        if levels is not None and (points := levels.points()):
            lasted_s = (event.start_time_s, event.start_time_s if event.end_time_s is None else event.end_time_s)
            drawing = draw_sparkline(points, start=event.start_threshold, end=event.end_threshold, event_s=lasted_s)
            self._write("scores", event, drawing.encode())

    def _write_picture(self, kind: str, event: Event, scored: FrameScore) -> None:
        if scored.frame.picture is not None:
            privacy = self._privacy.get(event.camera, NO_PRIVACY)
            self._write(kind, event, encode_jpeg(privacy.covered(scored.frame.picture.rgb(), event.peak.boxes)))

    def _write(self, kind: str, event: Event, content: bytes) -> None:
        path = path_of(self._folder, kind, event.id)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, content)
        except (OSError, UsageError) as error:
            log.warning("%s of event %s not written: %s", kind, event.id, error, extra=about(event))
            self._on_written(False)
        else:
            self._on_written(True)

    def _document(self, event: Event, clip: Mapping[str, Any] | None) -> dict[str, Any]:
        kinds = [kind for kind in KINDS if kind != "evidence" and (kind != "clips" or clip)]  # one that grows has no digest
        paths = [path_of(self._folder, kind, event.id) for kind in kinds]
        files = {f"{path.parent.name}/{path.name}": digest for path in paths if (digest := _sha256(path))}
        made = {"streamwatch": __version__, "python": platform.python_version(), **self._facts.get(event.camera, {})}
        return {"event": event_document(event), "made_by": made, "clip": clip, "sha256": files}


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
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
