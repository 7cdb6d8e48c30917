"""What normal footage's levels were and where, so that thresholds can be derived anew when cells are allowed more.

A map of every frame would be too much (16 KB). Kept are, for each frame and zone, the level, and each 4x4-cell block's
highest in 16-bit floats, rounded up. Dividing a block by the least that any of its cells is divided by bounds its level from
above: thresholds that follow are, if anything, too high.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from streamwatch.records import BoolGrid, Float32Array, Float64Array, ScoreStream

BLOCK_CELLS = 4
MAX_FRAMES = 50_000
"""Nearly three hours at 5 a second: 26 MB a zone in the model file. Of longer footage nothing is kept."""

Float16Array = npt.NDArray[np.float16]


@dataclass(frozen=True, eq=False)
class NormalLevels:
    """Levels of N normal frames in B blocks of the grid, in zones, before any suppression map.

    Attributes:
        zones: Z names.
        at_s: (N,) times, each later than the one before.
        levels: (Z, N) each frame's level in each zone.
        blocks: (Z, N, B) each block's highest level, not below it by rounding.

    Raises:
        ValueError: the shapes do not fit, or the times do not ascend.
    """

    zones: tuple[str, ...]
    at_s: Float64Array
    levels: Float64Array
    blocks: Float16Array

    def __post_init__(self) -> None:
        shape = (len(self.zones), len(self.at_s))
        if self.levels.shape != shape or self.blocks.shape[:2] != shape or self.blocks.ndim != 3:
            raise ValueError(f"levels {self.levels.shape} and blocks {self.blocks.shape} do not fit {shape}")
        if not (np.diff(self.at_s) > 0).all():
            raise ValueError("times of normal frames do not ascend")

    @property
    def interval_s(self) -> float | None:
        """Median seconds from frame to frame; None for fewer than two frames."""
        return float(np.median(np.diff(self.at_s))) if len(self.at_s) > 1 else None

    def streams(self, zone: str, suppression: Float32Array | None, gap_s: float) -> list[ScoreStream]:
        """A zone's levels under a suppression map (h, w), or an upper bound of them; a longer gap begins a new stream."""
        row = self.zones.index(zone)
        levels = self.levels[row]
        if suppression is not None:
            least = np.maximum(lowest_of_blocks(suppression), np.float32(1.0))
            levels = np.minimum(levels, (self.blocks[row].astype(np.float64) / least).max(axis=1))
        return cut_at_gaps(self.at_s, levels, gap_s)

    def followed_by(self, later: NormalLevels, gap_s: float) -> NormalLevels | None:
        """Both, ``later`` beginning after a gap; None if they are not of the same blocks, or too many."""
        n = len(self.at_s) + len(later.at_s)
        if (self.zones, self.blocks.shape[2]) != (later.zones, later.blocks.shape[2]) or not 0 < n <= MAX_FRAMES:
            return None
        shift_s = self.at_s[-1] + 2 * gap_s - later.at_s[0] if len(self.at_s) and len(later.at_s) else 0.0
        return NormalLevels(
            self.zones,
            np.concatenate([self.at_s, later.at_s + shift_s]),
            np.concatenate([self.levels, later.levels], axis=1),
            np.concatenate([self.blocks, later.blocks], axis=1),
        )


def cut_at_gaps(at_s: Float64Array, levels: Float64Array, gap_s: float) -> list[ScoreStream]:
    """Streams of (N,) levels between gaps; none for no levels."""
    cuts = np.flatnonzero(np.diff(at_s) > gap_s) + 1
    parts = zip(np.split(at_s, cuts), np.split(levels, cuts), strict=True)
    return [ScoreStream(times, values) for times, values in parts if len(times)]


def highest_of_blocks(grid: Float32Array) -> Float32Array:
    """(B,) the highest value of each 4x4 block of (h, w), row by row; blocks at the far edges may be smaller."""
    return _of_blocks(grid, np.maximum)


def lowest_of_blocks(grid: Float32Array) -> Float32Array:
    """(B,) the lowest value of each 4x4 block of (h, w)."""
    return _of_blocks(grid, np.minimum)


def _of_blocks(grid: Float32Array, extreme: np.ufunc) -> Float32Array:
    height, width = grid.shape
    rows = extreme.reduceat(grid, np.arange(0, height, BLOCK_CELLS), axis=0)
    return np.asarray(extreme.reduceat(rows, np.arange(0, width, BLOCK_CELLS), axis=1), dtype=np.float32).ravel()


def rounded_up(values: Float32Array) -> Float16Array:
    """The least 16-bit float that is not below; what is too large for one is infinite, NaN stays."""
    with np.errstate(over="ignore"):
        near = values.astype(np.float16)
        return np.where(near < values, np.nextafter(near, np.float16(np.inf)), near).astype(np.float16)


@dataclass
class NormalLevelRecorder:
    """Collects the level grids of scored frames in zones: masks (h, w), None for the whole picture."""

    zones: Mapping[str, BoolGrid | None]
    _at_s: list[float] = field(default_factory=list)
    _levels: list[list[float]] = field(default_factory=list)
    _blocks: list[Float16Array] = field(default_factory=list)

    def add(self, at_s: float, level_grid: Float32Array) -> None:
        """Note one frame's levels (h, w), before any suppression map; one that is not later than the last is left out."""
        if len(self._at_s) > MAX_FRAMES or (self._at_s and at_s <= self._at_s[-1]):
            return
        grids = [level_grid if mask is None else level_grid * mask for mask in self.zones.values()]
        self._at_s.append(at_s)
        self._levels.append([float(grid.max()) for grid in grids])
        self._blocks.append(np.stack([rounded_up(highest_of_blocks(grid)) for grid in grids]))

    def found(self) -> NormalLevels | None:
        """All of them; None if there were none, or too many."""
        if not 0 < len(self._at_s) <= MAX_FRAMES:
            return None
        levels = np.array(self._levels, dtype=np.float64).T
        return NormalLevels(tuple(self.zones), np.array(self._at_s), levels, np.stack(self._blocks, axis=1))
