"""The records that travel between rooms: frozen, checked at birth, free of torch and av."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

INPUT_SIZE_PX = 256
"""Side of the square model input (DESIGN section 2, after Defard et al. 2020)."""

UInt8Array = npt.NDArray[np.uint8]
Float32Array = npt.NDArray[np.float32]


class Picture(Protocol):
    """A decoded picture at the camera's own size, kept by reference until somebody looks at it."""

    width: int
    height: int

    def rgb(self) -> UInt8Array:
        """The picture as (height, width, 3) RGB, 0..255."""
        ...


@dataclass(frozen=True, slots=True)
class Frame:
    """One decoded and resized frame.

    Attributes:
        camera: name of the camera it belongs to.
        index: number of the coded frame in its source, from 0.
        time_s: presentation time, seconds since the source's first frame.
        wall_s: Unix time of the picture: one wall reading at connect, presentation time afterwards.
        captured_at_s: monotonic time at which it left the decoder, for latency.
        pixels: the model's input, (256, 256, 3) RGB uint8.
        picture: the decoded picture itself, if it is kept.
        segment: number of the file or folder it came from; a change means a cut.
    """

    camera: str
    index: int
    time_s: float
    wall_s: float
    captured_at_s: float
    pixels: UInt8Array
    picture: Picture | None = None
    segment: int = 0

    def __post_init__(self) -> None:
        if self.pixels.shape != (INPUT_SIZE_PX, INPUT_SIZE_PX, 3) or self.pixels.dtype != np.uint8:
            raise ValueError(f"pixels must be (256, 256, 3) uint8, not {self.pixels.shape} {self.pixels.dtype}")


@dataclass(frozen=True, slots=True)
class FrameScore:
    """What the model says of one frame: its anomaly map on the grid, and the map's maximum."""

    frame: Frame
    score: float
    grid: Float32Array

    def __post_init__(self) -> None:
        if self.grid.ndim != 2:
            raise ValueError(f"grid must have two axes, not {self.grid.shape}")


@dataclass(frozen=True, slots=True)
class Box:
    """An axis-aligned box in fractions of the picture, 0..1."""

    left: float
    top: float
    right: float
    bottom: float

    def __post_init__(self) -> None:
        if not (0 <= self.left <= self.right <= 1 and 0 <= self.top <= self.bottom <= 1):
            raise ValueError(f"not a box in 0..1: {self}")


@dataclass(frozen=True, slots=True)
class Peak:
    """The strongest moment of an event."""

    score: float
    wall_s: float
    time_s: float
    boxes: tuple[Box, ...] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """An anomaly event of one camera and zone (DESIGN section 8).

    Times come twice: ``*_wall_s`` is Unix time, ``*_time_s`` is seconds into the source.
    ``end_*`` is None while the event is open.
    """

    id: str
    camera: str
    zone: str
    start_wall_s: float
    start_time_s: float
    peak: Peak
    start_threshold: float
    end_threshold: float
    end_wall_s: float | None = None
    end_time_s: float | None = None
    reason: str | None = None
    predecessor_id: str | None = None

    def __post_init__(self) -> None:
        if self.end_wall_s is not None and self.end_wall_s < self.start_wall_s:
            raise ValueError(f"event {self.id} ends before it starts")


@dataclass(frozen=True, slots=True)
class EventChange:
    """Something an event did; ``type`` is one of DESIGN section 8's names."""

    type: str
    event: Event
    at_wall_s: float


@dataclass(frozen=True, slots=True)
class SourceSummary:
    """What reading a source to its end came to."""

    frames_read: int
    frames_declared: int
    decode_errors: int
    duration_s: float
    size_px: tuple[int, int] = (0, 0)
    warnings: tuple[str, ...] = field(default=())
