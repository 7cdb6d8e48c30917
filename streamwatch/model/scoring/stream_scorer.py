"""From the maps of one stream's frames, in order, to scores and levels: fusion and the causal filter.

Frame by frame and in NumPy: what is fitted with, what a frame's maps come to when somebody asks for them, and what
``stream_bank`` is measured against.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np

from streamwatch.model.scoring.fusion import FieldMaps, Fusion, fused, level_of
from streamwatch.model.scoring.levels import APPEARANCE, MOTION, FieldUnits
from streamwatch.model.scoring.temporal import CausalFilter
from streamwatch.records import BoolGrid, Float32Array, Measures
from streamwatch.scores import NO_SPREAD, MapScores, Spread

SPREAD_QUANTILES = (0.25, 0.95)


def spread_between(low: float, high: float) -> Spread:
    """From the two quantiles of a filtered appearance map."""
    return Spread(low, low / max(high, 1e-9))


def spread_of(smooth: FieldMaps) -> Spread:
    """How the filtered appearance map is spread."""
    if smooth.appearance is None:
        return NO_SPREAD
    low, high = (float(q) for q in np.quantile(smooth.appearance, SPREAD_QUANTILES))
    return spread_between(low, high)


@dataclass(frozen=True, eq=False)
class StreamRules:
    """By what a stream's maps are judged.

    Attributes:
        grid: (h, w) of the maps.
        fusion: how a model of both fields fuses them; None for a model of one.
        ignored: (h, w) True where anomalies do not count.
        suppression: (h, w) what a cell's values are divided by; None for nothing.
        units: what each field is measured in to make a level; None for a model whose fields are judged together.
    """

    grid: tuple[int, int]
    fusion: Fusion | None
    ignored: BoolGrid | None = None
    suppression: Float32Array | None = None
    units: FieldUnits | None = None

    def divisor(self) -> Float32Array:
        """(h, w) what a field's values are divided by: infinite where they do not count."""
        divisor = np.ones(self.grid, np.float32) if self.suppression is None else self.suppression.astype(np.float32)
        return divisor if self.ignored is None else np.where(self.ignored, np.float32(np.inf), divisor)

    def scores_of(self, maps: FieldMaps, smooth: FieldMaps) -> MapScores:
        """What a frame's maps come to, by themselves and causally filtered."""
        if self.fusion is None:
            raw, causal = _one_of(maps, self.grid), _one_of(smooth, self.grid)
            return self._scores(raw, causal, self._measured(smooth, causal), smooth, spread_of(smooth))
        tails = self.fusion.tails(smooth)
        measures = self._measured(smooth, level_of(tails, self.fusion.lift) if self.units is None else None)
        return self._scores(fused(self.fusion.tails(maps)), fused(tails), measures, tails, spread_of(smooth))

    def levels_of(self, smooth: FieldMaps) -> Float32Array:
        """(h, w) ``MapScores.level_grid`` of rules that name units, from causally filtered maps."""
        return (self.units or FieldUnits()).level(self._measured(smooth, None), self.grid)

    def _measured(self, smooth: FieldMaps, together: Float32Array | None) -> Measures:
        """What each field measures, or what all do together, where it counts."""
        named = measures_of(smooth) if self.units or together is None else (("", together),)
        divisor = self.divisor()
        return tuple((name, values / divisor) for name, values in named)

    def _scores(
        self, grid: Float32Array, causal: Float32Array, measures: Measures, fields: FieldMaps, spread: Spread
    ) -> MapScores:
        grid, causal = self._counted(grid), self._counted(causal)
        level = (self.units or FieldUnits()).level(measures, self.grid)
        cell = int(level.argmax())
        speaking = tuple((name, float(values.flat[cell])) for name, values in measures_of(fields))
        return MapScores(
            float(grid.max()), grid, float(causal.max()), float(level.max()), level, speaking, spread, cell, measures
        )

    def _counted(self, grid: Float32Array) -> Float32Array:
        return grid if self.ignored is None else grid * (~self.ignored).astype(np.float32)


class StreamScorer:
    """Scores one stream's frames in their order."""

    def __init__(self, rules: StreamRules) -> None:
        self.rules = rules
        self._segment = -1
        self._restart()

    def score(self, maps: FieldMaps, time_s: float, segment: int = 0) -> MapScores:
        """Score the stream's next frame; a new segment is a cut and starts the filter anew."""
        if segment != self._segment:
            self._segment = segment
            self._restart()
        smooth = FieldMaps(self._appearance.apply(maps.appearance, time_s), self._motion.apply(maps.motion, time_s))
        return self.rules.scores_of(maps, smooth)

    def copied(self) -> StreamScorer:
        """Another that goes on from here."""
        return copy.deepcopy(self, {id(self.rules): self.rules})

    def hold(self, time_s: float) -> None:
        """Nothing has changed until ``time_s``: the last scores hold, and the filter forgets nothing of them."""
        self._appearance.hold(time_s)
        self._motion.hold(time_s)

    def _restart(self) -> None:
        self._appearance, self._motion = CausalFilter(), CausalFilter()


def measures_of(maps: FieldMaps) -> Measures:
    """The maps by name; a field that says nothing is left out."""
    return tuple(
        (name, values) for name, values in ((APPEARANCE, maps.appearance), (MOTION, maps.motion)) if values is not None
    )


def _one_of(maps: FieldMaps, grid: tuple[int, int]) -> Float32Array:
    """A model of one field: its distances are the score; without motion fields nothing stands out."""
    values = maps.motion if maps.appearance is None else maps.appearance
    return np.zeros(grid, dtype=np.float32) if values is None else values
