"""Frames of a watched camera that were judged normal, kept for the nightly update.

One every three minutes, a day's worth. Those within a minute of an event, before it or after it, are left out: what leads up
to an anomaly is not to become normal. So is every frame over the end threshold, which narrows what is learned by the
highest hundredth of what is normal.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streamwatch.records import INPUT_SIZE_PX, SPEED_GRID, Float32Array, Float64Array, Frame, FrameScore, UInt8Array

log = logging.getLogger(__name__)
SPACING_S = 180.0
QUARANTINE_S = 60.0
MOST_FRAMES = 480
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


class NormalFrames:
    """Keeps them as they are scored.

    Args:
        wants: told a camera, whether its frames are to be kept.
    """

    def __init__(self, folder: Path, wants: Callable[[str], bool]) -> None:
        self._folder, self._wants = folder, wants
        self._cameras: dict[str, _Progress] = {}

    def observe(self, scored: FrameScore, *, quiet: bool, normal: bool) -> None:
        """Take one scored frame.

        Args:
            quiet: neither an event nor a fault of the picture is going on.
            normal: it is below the end threshold everywhere.
        """
        frame = scored.frame
        if not self._wants(frame.camera):
            return
        known = self._cameras.setdefault(frame.camera, _Progress())
        if not quiet:
            known.unquiet_s, known.waiting = frame.wall_s, None
        elif known.waiting is not None and frame.wall_s - known.waiting.wall_s >= QUARANTINE_S:
            self._write(known.waiting)
            known.waiting = None
        elif (
            known.waiting is None
            and normal
            and frame.wall_s - known.taken_s >= SPACING_S
            and frame.wall_s - known.unquiet_s >= QUARANTINE_S
        ):
            known.waiting, known.taken_s = frame, frame.wall_s

    def _write(self, frame: Frame) -> None:
        path = self._folder / f"{frame.camera}.bin"
        record = np.zeros((), _RECORD)
        record["wall_s"], record["pixels"] = frame.wall_s, frame.pixels
        record["speed"] = np.nan if frame.speed is None else frame.speed
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            size = path.stat().st_size if path.exists() else 0
            if size >= MOST_FRAMES * _RECORD.itemsize:
                return
            with path.open("r+b" if size else "wb") as file:
                file.seek(size - size % _RECORD.itemsize)  # over what a crash cut short
                file.write(record.tobytes())
        except OSError as error:  # learning must never stop detection
            log.warning(
                "a normal frame of camera %s not kept: %s", frame.camera, error.strerror, extra={"camera": frame.camera}
            )
