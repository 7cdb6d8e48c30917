"""Scored frames that no engine made."""

from __future__ import annotations

from streamwatch.records import Float32Array, Frame
from streamwatch.scores import NO_SPREAD, FrameScore, MapScores, Spread


def frame_score(
    frame: Frame,
    grid: Float32Array,
    level: float = 0.0,
    *,
    level_grid: Float32Array | None = None,
    fields: tuple[tuple[str, float], ...] = (),
    spread: Spread = NO_SPREAD,
) -> FrameScore:
    """A frame whose scores and level are all ``level``, and whose maps are ``grid``."""
    maps = MapScores(level, grid, level, level, grid if level_grid is None else level_grid, fields, spread)
    return FrameScore(frame, level, lambda: maps, spread)
