"""The model inputs of events, kept so that a person who calls one normal can teach it to the scene's model."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from streamwatch.files import write_atomically
from streamwatch.records import BoolGrid, Float32Array, Frame, UInt8Array
from streamwatch.scores import FrameScore

MAX_FRAMES = 16
"""Frames kept of an event: 3.4 MB. Not compressed: that would take a tenth of a second of a core for each."""
MAX_EVENTS = 200
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
class FrameSample:
    """Evenly spaced frames of something that lasts nobody knows how long: when full, every second goes."""

    every: int = 1
    seen: int = 0
    frames: list[Frame] = field(default_factory=list)
    level: Float32Array | None = None

    def add(self, scored: FrameScore, level: Float32Array) -> None:
        """Add a frame and its levels (h, w)."""
        self.level = level.copy() if self.level is None else np.maximum(self.level, level)
        if self.seen % self.every == 0:
            self.frames.append(replace(scored.frame, picture=None))  # decoded pictures are large, and not needed
            if len(self.frames) > MAX_FRAMES:
                self.frames, self.every = self.frames[::2], 2 * self.every
        self.seen += 1

    def encoded(self) -> bytes | None:
        """As an .npz; None without frames."""
        return None if self.level is None else _frames_of(self.frames, self.level).encoded()


def inputs_path(folder: Path, event_id: str) -> Path:
    """Where an event's inputs lie."""
    return folder / f"{event_id}.npz"


class EventFrameSampler:
    """Holds what is over the end threshold of each pending or open event. In memory: it belongs to the scoring thread.

    Args:
        may_keep: told a camera, whether its pictures may be stored.
    """

    def __init__(self, may_keep: Callable[[str], bool] = lambda _: True) -> None:
        self._may_keep = may_keep
        self._samples: dict[tuple[str, str], FrameSample] = {}

    def record(self, scored: FrameScore, zone: str, cells: BoolGrid | None) -> None:
        """Add a frame of what is pending or open in a zone of its camera."""
        key = (scored.frame.camera, zone)
        if self._may_keep(key[0]):
            level = scored.level_grid if cells is None else scored.level_grid * cells
            self._samples.setdefault(key, FrameSample()).add(scored, level.astype(np.float32))

    def forget(self, camera: str, zone: str) -> None:
        """What was pending came to nothing."""
        self._samples.pop((camera, zone), None)

    def take(self, camera: str, zone: str) -> FrameSample | None:
        """What was held of an event that has ended; None if there is nothing, or it may not be stored."""
        sample = self._samples.pop((camera, zone), None)
        return sample if self._may_keep(camera) else None


def write_event_frames(folder: Path, event_id: str, sample: FrameSample) -> None:
    """Write an event's frames, and remove those of the oldest events if there are too many.

    Raises:
        OSError, UsageError: the disk refuses.
    """
    content = sample.encoded()
    if content is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(inputs_path(folder, event_id), content)
    kept = sorted(folder.glob("*.npz"))  # ids are ordered by time: the first are the oldest
    for path in kept[: max(0, len(kept) - MAX_EVENTS)]:
        path.unlink(missing_ok=True)


def _frames_of(frames: list[Frame], level: Float32Array) -> EventFrames:
    nothing = np.full(level.shape, np.nan, dtype=np.float32)
    speed = [nothing if frame.speed is None else frame.speed for frame in frames]
    return EventFrames(np.stack([frame.pixels for frame in frames]), np.stack(speed).astype(np.float32), level)
