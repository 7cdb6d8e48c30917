"""The levels of scored frames, as streams that can be calibrated on."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from streamwatch.model.calibration.prequential import GAP_S
from streamwatch.records import BoolGrid, FrameScore, ScoreStream


class LevelRecorder:
    """Collects the levels of scored frames, zone by zone, stretch by stretch."""

    def __init__(self, zones: Mapping[str, BoolGrid | None]) -> None:
        self._zones = zones
        self._at_s: list[list[float]] = []
        self._levels: dict[str, list[list[float]]] = {zone: [] for zone in zones}
        self._segment: int | None = None
        self.lows: list[float] = []

    def add(self, scored: FrameScore) -> None:
        """Record a frame; a new segment begins a new stretch, and so does a gap."""
        frame = scored.frame
        if frame.segment != self._segment or frame.time_s - self._at_s[-1][-1] > GAP_S:
            self.cut()
        if self._segment is None:
            self._at_s.append([])
            for levels in self._levels.values():
                levels.append([])
        self._segment = frame.segment
        self._at_s[-1].append(frame.time_s)
        self.lows.append(scored.spread.low)
        for zone, mask in self._zones.items():
            self._levels[zone][-1].append(scored.level_in(mask))

    def cut(self) -> None:
        """Begin a new stretch with the next frame."""
        self._segment = None

    def streams(self) -> dict[str, list[ScoreStream]]:
        """Everything recorded."""
        times = [np.array(part) for part in self._at_s]
        return {
            zone: [ScoreStream(at_s, np.array(part)) for at_s, part in zip(times, parts, strict=True)]
            for zone, parts in self._levels.items()
        }
