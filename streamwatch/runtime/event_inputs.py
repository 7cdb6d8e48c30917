"""The model inputs of events, kept so that a person who calls one normal can teach it to the scene's model."""

from __future__ import annotations

import io
import logging
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from streamwatch.errors import UsageError
from streamwatch.logs import about
from streamwatch.records import BoolGrid, Event, Float32Array, Frame, FrameScore, UInt8Array
from streamwatch.video.output import write_atomically

log = logging.getLogger(__name__)
MOST_FRAMES = 16
"""Frames kept of an event: 3.4 MB. Not compressed: that would hold up the frames of all cameras for a tenth of a second."""
MOST_EVENTS = 200
"""Events kept, the newest; what was taught is kept with the model."""


@dataclass(frozen=True)
class EventFrames:
    """What was kept of one event.

    Attributes:
        pixels: (n, 256, 256, 3) uint8 model inputs, evenly over the event.
        speed: (n, h, w) float32, NaN where a frame had none.
        level: (h, w) highest level of each cell over all frames of the event, 0 outside its zone.
    """

    pixels: UInt8Array
    speed: Float32Array
    level: Float32Array

    def encoded(self) -> bytes:
        """As an .npz."""
        buffer = io.BytesIO()
        np.savez(buffer, pixels=self.pixels, speed=self.speed, level=self.level)
        return buffer.getvalue()


def load_frames(path: Path) -> EventFrames | None:
    """What was kept at ``path``; None if nothing is there that can be read."""
    try:
        with np.load(path, allow_pickle=False) as kept:
            return EventFrames(kept["pixels"], kept["speed"], kept["level"])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None


@dataclass
class _Sample:
    """Evenly spaced frames of something that lasts nobody knows how long: when full, every second goes."""

    every: int = 1
    seen: int = 0
    frames: list[Frame] = field(default_factory=list)
    level: Float32Array | None = None

    def add(self, scored: FrameScore, level: Float32Array) -> None:
        self.level = level.copy() if self.level is None else np.maximum(self.level, level)
        if self.seen % self.every == 0:
            self.frames.append(replace(scored.frame, picture=None))  # decoded pictures are large, and not needed
            if len(self.frames) > MOST_FRAMES:
                self.frames, self.every = self.frames[::2], 2 * self.every
        self.seen += 1


def inputs_path(folder: Path, event_id: str) -> Path:
    """Where an event's inputs lie."""
    return folder / f"{event_id}.npz"


class EventInputs:
    """Keeps what is over the end threshold of each pending or open event, and writes it when the event ends.

    Args:
        may_keep: told a camera, whether its pictures may be stored.
    """

    def __init__(self, folder: Path, may_keep: Callable[[str], bool] = lambda _: True) -> None:
        self._folder, self._may_keep = folder, may_keep
        self._samples: dict[tuple[str, str], _Sample] = {}

    def note(self, scored: FrameScore, zone: str, cells: BoolGrid | None) -> None:
        """Add a frame of what is pending or open in a zone of its camera."""
        key = (scored.frame.camera, zone)
        if self._may_keep(key[0]):
            level = scored.level_grid if cells is None else scored.level_grid * cells
            self._samples.setdefault(key, _Sample()).add(scored, level.astype(np.float32))

    def forget(self, camera: str, zone: str) -> None:
        """What was pending came to nothing."""
        self._samples.pop((camera, zone), None)

    def write(self, event: Event) -> Path | None:
        """Write the event's frames; None if there are none, or they cannot be written."""
        sample = self._samples.pop((event.camera, event.zone), None)
        if sample is None or sample.level is None or not self._may_keep(event.camera):
            return None
        path = inputs_path(self._folder, event.id)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_atomically(path, _frames_of(sample.frames, sample.level).encoded())
            self._make_room()
        except (OSError, UsageError) as error:  # evidence must never stop detection
            log.warning("model inputs of event %s not written: %s", event.id, error, extra=about(event))
            return None
        return path

    def _make_room(self) -> None:
        """Ids are ordered by time: the first are the oldest."""
        kept = sorted(self._folder.glob("*.npz"))
        for path in kept[: max(0, len(kept) - MOST_EVENTS)]:
            path.unlink(missing_ok=True)


def _frames_of(frames: list[Frame], level: Float32Array) -> EventFrames:
    nothing = np.full(level.shape, np.nan, dtype=np.float32)
    speed = [nothing if frame.speed is None else frame.speed for frame in frames]
    return EventFrames(np.stack([frame.pixels for frame in frames]), np.stack(speed).astype(np.float32), level)
