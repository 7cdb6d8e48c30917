"""From the maps of one stream's frames, in order, to scores and levels: fusion and the causal filter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streamwatch.model.scoring.fusion import FieldMaps, Fusion, fused, level_of
from streamwatch.model.scoring.levels import APPEARANCE, MOTION, FieldUnits
from streamwatch.model.scoring.temporal import CausalFilter
from streamwatch.records import NO_SPREAD, Float32Array, Measures, Spread

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
    measures: Measures


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
        suppression: (h, w) what a cell's values are divided by; None for nothing.
        units: what each field is measured in to make a level; None for a model whose fields are judged together.
    """

    def __init__(
        self,
        grid: tuple[int, int],
        fusion: Fusion | None,
        ignored: npt.NDArray[np.bool_] | None = None,
        suppression: Float32Array | None = None,
        *,
        units: FieldUnits | None = None,
    ) -> None:
        self._grid, self._fusion, self.units = grid, fusion, units
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
            raw, causal = _one_of(maps, self._grid), _one_of(smooth, self._grid)
            return self._scores(raw, causal, self._measured(smooth, causal), smooth)
        tails = self._fusion.tails(smooth)
        together = level_of(tails, self._fusion.lift)
        return self._scores(fused(self._fusion.tails(maps)), fused(tails), self._measured(smooth, together), tails)

    def hold(self, time_s: float) -> None:
        """Nothing has changed until ``time_s``: the last scores hold, and the filter forgets nothing of them."""
        self._appearance.hold(time_s)
        self._motion.hold(time_s)

    def _restart(self) -> None:
        self._appearance, self._motion = CausalFilter(), CausalFilter()

    def _measured(self, smooth: FieldMaps, together: Float32Array) -> Measures:
        """What each field measures, or what all do together, where it counts."""
        named = measures_of(smooth) if self.units else (("", together),)
        suppression = self._suppression
        return tuple((name, self._counted(v if suppression is None else v / suppression)) for name, v in named)

    def _scores(self, grid: Float32Array, causal: Float32Array, measures: Measures, fields: FieldMaps) -> MapScores:
        grid, causal = self._counted(grid), self._counted(causal)
        level = (self.units or FieldUnits()).level(measures, self._grid)
        cell = int(level.argmax())
        speaking = tuple((name, float(values.flat[cell])) for name, values in measures_of(fields))
        return MapScores(
            float(grid.max()), grid, float(causal.max()), float(level.max()), level, speaking, self._spread, cell, measures
        )

    def _counted(self, grid: Float32Array) -> Float32Array:
        return grid if self._counts is None else grid * self._counts


def measures_of(maps: FieldMaps) -> Measures:
    """The maps by name; a field that says nothing is left out."""
    return tuple(
        (name, values) for name, values in ((APPEARANCE, maps.appearance), (MOTION, maps.motion)) if values is not None
    )


def _one_of(maps: FieldMaps, grid: tuple[int, int]) -> Float32Array:
    """A model of one field: its distances are the score; without motion fields nothing stands out."""
    values = maps.motion if maps.appearance is None else maps.appearance
    return np.zeros(grid, dtype=np.float32) if values is None else values
