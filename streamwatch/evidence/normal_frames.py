"""Frames of a watched camera that were judged normal, kept for the nightly update.

One every three minutes, a day's worth. Those within a minute of an event, before it or after it, are left out: what leads up
to an anomaly is not to become normal. So is every frame over the end threshold, which narrows what is learned by the
highest hundredth of what is normal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from streamwatch.records import INPUT_SIZE_PX, SPEED_GRID, Float32Array, Float64Array, Frame, UInt8Array
from streamwatch.scores import FrameScore

SPACING_S = 180.0
QUARANTINE_S = 60.0
MAX_FRAMES = 480
"""A day at one every three minutes: 100 MB a camera."""
_RECORD = np.dtype(
    [
        ("wall_s", np.float64),
        ("pixels", np.uint8, (INPUT_SIZE_PX, INPUT_SIZE_PX, 3)),
        ("speed", np.float32, (SPEED_GRID, SPEED_GRID)),
    ]
)


@dataclass(frozen=True)
class KeptFrames:
    """What was kept of one camera, in order.

    Attributes:
        wall_s: (n,) Unix times.
        pixels: (n, 256, 256, 3) uint8 model inputs.
        speed: (n, 64, 64) float32, NaN where a frame had none.
    """

    wall_s: Float64Array
    pixels: UInt8Array
    speed: Float32Array


def frames_path(data_dir: Path, camera: str) -> Path:
    """Where a camera's frames are kept."""
    return data_dir / "normal" / f"{camera}.bin"


def load_normal(path: Path) -> KeptFrames | None:
    """What was kept at ``path``; a record that a crash cut short is left out; None if there is nothing."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    whole = len(content) // _RECORD.itemsize
    records = np.frombuffer(content, _RECORD, whole)
    return KeptFrames(*(np.array(records[name]) for name in ("wall_s", "pixels", "speed"))) if whole else None


@dataclass
class _Progress:
    """One camera: when a frame was last taken, when it was last in an event, and the frame that waits out its quarantine."""

    taken_s: float = float("-inf")
    unquiet_s: float = float("-inf")
    waiting: Frame | None = None

    def is_due(self, wall_s: float) -> bool:
        """Whether the next frame may be taken."""
        return wall_s - self.taken_s >= SPACING_S and wall_s - self.unquiet_s >= QUARANTINE_S


class NormalFrameSelector:
    """Chooses them as they are scored. In memory: it belongs to the scoring thread.

    Args:
        wants: told a camera, whether its frames are to be kept.
    """

    def __init__(self, wants: Callable[[str], bool]) -> None:
        self._wants = wants
        self._cameras: dict[str, _Progress] = {}

    def observe(self, scored: FrameScore, *, quiet: bool, normal: bool) -> Frame | None:
        """Take one scored frame; an earlier one if that is now to be kept.

        Args:
            quiet: neither an event nor a fault of the picture is going on.
            normal: it is below the end threshold everywhere.
        """
        frame = scored.frame
        if not self._wants(frame.camera):
            return None
        known = self._cameras.setdefault(frame.camera, _Progress())
        if not quiet:
            known.unquiet_s, known.waiting = frame.wall_s, None
        elif known.waiting is not None and frame.wall_s - known.waiting.wall_s >= QUARANTINE_S:
            kept, known.waiting = known.waiting, None
            return kept
        elif known.waiting is None and normal and known.is_due(frame.wall_s):
            known.waiting, known.taken_s = replace(frame, picture=None), frame.wall_s
        return None


def append_normal_frame(folder: Path, frame: Frame) -> None:
    """Add a frame to its camera's file, unless that holds a day's worth.

    Raises:
        OSError: the disk refuses.
    """
    path = folder / f"{frame.camera}.bin"
    record = np.zeros((), _RECORD)
    record["wall_s"], record["pixels"] = frame.wall_s, frame.pixels
    record["speed"] = np.nan if frame.speed is None else frame.speed
    folder.mkdir(parents=True, exist_ok=True)
    size = path.stat().st_size if path.exists() else 0
    if size >= MAX_FRAMES * _RECORD.itemsize:
        return
    with path.open("r+b" if size else "wb") as file:
        file.seek(size - size % _RECORD.itemsize)  # over what a crash cut short
        file.write(record.tobytes())
