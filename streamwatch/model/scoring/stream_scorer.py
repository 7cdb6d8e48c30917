"""From the maps of one stream's frames, in order, to scores and levels: fusion and the causal filter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streamwatch.model.scoring.fusion import FieldMaps, Fusion, fused, level_of
from streamwatch.model.scoring.temporal import CausalFilter
from streamwatch.records import NO_SPREAD, Float32Array, Spread

SPREAD_QUANTILES = (0.25, 0.95)


@dataclass(frozen=True)
class MapScores:
    """What a frame's maps come to; see ``records.FrameScore`` for the fields. ``cell`` is the strongest, counted row by row."""

    score: float
    grid: Float32Array
    causal_score: float
    level: float
    level_grid: Float32Array
    fields: tuple[tuple[str, float], ...]
    spread: Spread
    cell: int


def spread_of(smooth: FieldMaps) -> Spread:
    """How the filtered appearance map is spread."""
    if smooth.appearance is None:
        return NO_SPREAD
    low, high = (float(q) for q in np.quantile(smooth.appearance, SPREAD_QUANTILES))
    return Spread(low, low / max(high, 1e-9))


class StreamScorer:
    """Scores one stream's frames in their order.

    Args:
        grid: (h, w) of the maps.
        fusion: how a model of both fields fuses them; None for a model of one.
        ignored: (h, w) True where anomalies do not count.
        suppression map: (h, w) what the level of a cell is divided by; None for nothing.
    """

    def __init__(
        self,
        grid: tuple[int, int],
        fusion: Fusion | None,
        ignored: npt.NDArray[np.bool_] | None = None,
        suppression: Float32Array | None = None,
    ) -> None:
        self._grid, self._fusion = grid, fusion
        self._suppression = suppression
        self._counts = None if ignored is None else (~ignored).astype(np.float32)
        self._segment, self._spread = -1, NO_SPREAD
        self._restart()

    def score(self, maps: FieldMaps, time_s: float, segment: int = 0) -> MapScores:
        """Score the stream's next frame; a new segment is a cut and starts the filter anew."""
        if segment != self._segment:
            self._segment = segment
            self._restart()
        smooth = FieldMaps(self._appearance.apply(maps.appearance, time_s), self._motion.apply(maps.motion, time_s))
        self._spread = spread_of(smooth)
        if self._fusion is None:
            return self._one_field(maps, smooth)
        tails = self._fusion.tails(smooth)
        grid, causal, level = fused(self._fusion.tails(maps)), fused(tails), level_of(tails, self._fusion.lift)
        return self._scores(grid, causal, level, tails)

    def _restart(self) -> None:
        self._appearance, self._motion = CausalFilter(), CausalFilter()

    def _one_field(self, maps: FieldMaps, smooth: FieldMaps) -> MapScores:
        """A model of one field: its distances are the score; without motion fields nothing stands out."""
        raw = maps.motion if maps.appearance is None else maps.appearance
        causal = smooth.motion if smooth.appearance is None else smooth.appearance
        if raw is None or causal is None:
            raw = causal = np.zeros(self._grid, dtype=np.float32)
        return self._scores(raw, causal, causal, smooth)

    def _scores(self, grid: Float32Array, causal: Float32Array, level: Float32Array, fields: FieldMaps) -> MapScores:
        level = level if self._suppression is None else level / self._suppression
        grid, causal, level = (self._counted(m) for m in (grid, causal, level))
        cell = int(level.argmax())
        named = (("appearance", fields.appearance), ("motion", fields.motion))
        speaking = tuple((name, float(values.flat[cell])) for name, values in named if values is not None)
        return MapScores(float(grid.max()), grid, float(causal.max()), float(level.max()), level, speaking, self._spread, cell)

    def _counted(self, grid: Float32Array) -> Float32Array:
        return grid if self._counts is None else grid * self._counts
