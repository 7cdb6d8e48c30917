"""The records that travel between rooms: frozen, checked at birth, free of torch and av."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from streamwatch.enums import EndReason, EventType, Severity

INPUT_SIZE_PX = 256
"""Side of the square model input (docs/decisions/0002-method.md, after Defard et al. 2020)."""

SPEED_GRID = 64
"""Side of the grid on which motion is measured: the finest level's grid of every backbone at 256 pixels."""

UInt8Array = npt.NDArray[np.uint8]
Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
BoolGrid = npt.NDArray[np.bool_]
Measures = tuple[tuple[str, Float32Array], ...]
"""By field, (h, w) what it measures at each cell."""


class Picture(Protocol):
    """A decoded picture at the camera's own size, kept by reference until somebody looks at it."""

    width: int
    height: int

    def rgb(self, width: int | None = None) -> UInt8Array:
        """The picture as (height, width, 3) RGB, 0..255.

        Args:
            width: scaled to that, its shape kept; None is the camera's own size.
        """
        ...


class DueFrame(Protocol):
    """A frame that is due to be scored, and need not be made before it is sure to be; see ``video.frame_maker``."""

    @property
    def camera(self) -> str:
        """As ``Frame.camera``."""
        ...

    @property
    def index(self) -> int:
        """As ``Frame.index``."""
        ...

    @property
    def time_s(self) -> float:
        """As ``Frame.time_s``."""
        ...

    @property
    def wall_s(self) -> float:
        """As ``Frame.wall_s``."""
        ...

    @property
    def captured_at_s(self) -> float:
        """As ``Frame.captured_at_s``."""
        ...

    def captured(self, at_s: float, earlier_s: float = 0.0) -> DueFrame:
        """The same, captured at another time, and of a wall time that is so much earlier."""
        ...

    def make(self) -> Frame:
        """The frame itself; of one camera's frames in their order, by one thread at a time."""
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
        segment: number of the file or folder it came from, or of the connection to a camera; a change means a cut.
        speed: (64, 64) speed per cell in pixels of the model's input per second, measured against the picture
            about 200 ms earlier; None if it was not asked for or there is no such picture.
        still: nothing has changed since the camera's last frame that is not, whose result holds; None where nobody looks.
    """

    camera: str
    index: int
    time_s: float
    wall_s: float
    captured_at_s: float
    pixels: UInt8Array
    picture: Picture | None = None
    segment: int = 0
    speed: Float32Array | None = None
    still: bool | None = None

    def __post_init__(self) -> None:
        if self.pixels.shape != (INPUT_SIZE_PX, INPUT_SIZE_PX, 3) or self.pixels.dtype != np.uint8:
            raise ValueError(f"pixels must be (256, 256, 3) uint8, not {self.pixels.shape} {self.pixels.dtype}")

    def captured(self, at_s: float, earlier_s: float = 0.0) -> Frame:
        """The same frame, captured at another time, and of a wall time that is so much earlier."""
        return replace(self, captured_at_s=at_s, wall_s=self.wall_s - earlier_s)

    def make(self) -> Frame:
        """Itself, as a frame that is due and already made (``DueFrame``)."""
        return self


@dataclass(frozen=True, slots=True)
class LayerShare:
    """What one layer of the backbone contributes to the squared distance at a place.

    Attributes:
        share: of the squared distance; those of all layers sum to 1. A layer counts for what the finer layers before it
            do not already explain.
        squared: the contribution itself.
        normal: (low, high) that it lies between on 95 % of normal frames, were they Gaussian.
    """

    layer: str
    share: float
    squared: float
    normal: tuple[float, float]


@dataclass(frozen=True, slots=True)
class ScoreStream:
    """Levels of one stretch of footage, in order.

    Attributes:
        at_s: (N,) increasing times in seconds.
        levels: (N,) what thresholds are compared with.
    """

    at_s: Float64Array
    levels: Float64Array

    def __post_init__(self) -> None:
        if self.at_s.shape != self.levels.shape or self.at_s.ndim != 1:
            raise ValueError(f"times and levels differ in shape: {self.at_s.shape}, {self.levels.shape}")

    @property
    def exposure_s(self) -> float:
        """Seconds that the stream covers: every sample counts until the next one, but gaps do not."""
        if len(self.at_s) < 2:
            return 0.0
        steps = np.diff(self.at_s)
        usual = float(np.median(steps))
        return float(np.minimum(steps, 3 * usual).sum() + usual)


@dataclass(frozen=True, slots=True)
class LivePeaks:
    """What one field of one zone held while it was watched: what the running daemon calibrates on.

    Attributes:
        basis: digest of what the values depend on (model, zone, rules); others than the present one say nothing.
        peaks: (value, Unix time) of each episode, the highest first: a thing that stands there is one, however it trembles.
        events: the same of each event that some threshold would have opened, the highest of each day alone.
        exposure: (day, seconds) that were watched, by days since 1970 in UTC, ascending.
    """

    zone: str
    field: str
    basis: str
    peaks: tuple[tuple[float, float], ...] = ()
    exposure: tuple[tuple[int, float], ...] = ()
    events: tuple[tuple[float, float], ...] = ()

    @property
    def exposure_s(self) -> float:
        """Seconds that were watched."""
        return sum(seconds for _, seconds in self.exposure)


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
class Reason:
    """Why a moment is out of the ordinary: the field that spoke, and how rare that is.

    Attributes:
        field: ``appearance`` or ``motion``; empty for a model whose fields are judged together.
        value: what it measured: a distance, or a speed in pixels of the model's input per second.
        threshold, highest_held: in the same unit: where it opens an event, and what normal footage held at most.
        footage_s: seconds of normal footage that say so.
        days_between: how many days pass until normal footage holds the value again; None where that much footage does not
            tell, and until it is told.
    """

    field: str
    value: float
    threshold: float
    highest_held: float
    footage_s: float
    days_between: float | None = None


@dataclass(frozen=True, slots=True)
class Peak:
    """The strongest moment of an event.

    Attributes:
        boxes: around the connected cells over the end threshold, strongest first.
        fields, layers: ``FrameScore.fields`` and ``.layers`` of that frame.
        at: (x, y) of the strongest cell's centre, in 0..1; None if it is outside of the zone.
        area: share of the picture that is over the end threshold.
        reason: None where the threshold was given by hand, or the event is older than reasons are.
    """

    score: float
    wall_s: float
    time_s: float
    boxes: tuple[Box, ...] = ()
    fields: tuple[tuple[str, float], ...] = ()
    layers: tuple[LayerShare, ...] = ()
    at: tuple[float, float] | None = None
    area: float = 0.0
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """An anomaly event of one camera and zone (docs/decisions/0009-events.md).

    Times come twice: ``*_wall_s`` is Unix time, ``*_time_s`` is seconds into the source.
    ``end_*`` is None while the event is open.

    Attributes:
        severity: ``warning``, or ``alert`` if its peak is one that a tenth of the alarm budget would have let through.
        provisional: the threshold was extrapolated: the camera's normal footage is too short for its alarm budget.
        label: what a person said it was, ``normal`` or ``anomaly``; only known to the store.
        note: what else a person wrote of it; only known to the store.
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
    reason: EndReason | None = None
    predecessor_id: str | None = None
    severity: Severity = Severity.WARNING
    provisional: bool = False
    label: str | None = None
    note: str | None = None

    def __post_init__(self) -> None:
        if self.end_wall_s is not None and self.end_wall_s < self.start_wall_s:
            raise ValueError(f"event {self.id} ends before it starts")

    def crashed(self) -> Event:
        """The same as a crash leaves it: ended at its peak, the last moment that is known of it."""
        return replace(self, end_wall_s=self.peak.wall_s, end_time_s=self.peak.time_s, reason=EndReason.CRASH)


@dataclass(frozen=True, slots=True)
class EventChange:
    """Something an event did."""

    type: EventType
    event: Event
    at_wall_s: float


@dataclass(frozen=True, slots=True)
class Notice:
    """Something about a camera or the daemon that is no anomaly: ``camera.offline``, ``camera.tamper`` and such.

    Attributes:
        detail: what more there is to say, JSON-ready.
    """

    id: str
    type: EventType
    camera: str
    at_wall_s: float
    detail: tuple[tuple[str, str | float | bool], ...] = ()


@dataclass(frozen=True, slots=True)
class SourceSummary:
    """What reading a source to its end came to."""

    decode_errors: int
    duration_s: float
    size_px: tuple[int, int] = (0, 0)
    warnings: tuple[str, ...] = field(default=())
