"""The values of scored frames, as streams that can be calibrated on, and where they were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from streamwatch.model.calibration.normal_levels import NormalLevelRecorder, NormalLevels
from streamwatch.model.calibration.prequential import GAP_S
from streamwatch.records import BoolGrid, Float32Array, ScoreStream
from streamwatch.scores import FrameScore

Key = tuple[str, str]


class LevelRecorder:
    """Collects what the fields of scored frames measured, zone by zone, stretch by stretch, and the level.

    A field that says nothing of a frame counts as 0 there.

    Args:
        fields: of the model that scores; the empty one is of a model whose fields are judged together.
    """

    def __init__(self, zones: Mapping[str, BoolGrid | None], fields: Sequence[str] = ()) -> None:
        self._zones, self._fields = zones, tuple(fields)
        self._at_s: list[list[float]] = []
        self._levels: dict[str, list[list[float]]] = {zone: [] for zone in zones}
        self._values: dict[Key, list[list[float]]] = {(zone, field): [] for zone in zones for field in self._fields}
        self._segment: int | None = None
        self.lows: list[float] = []

    def add(self, scored: FrameScore) -> None:
        """Record a frame; a new segment begins a new stretch, and so does a gap."""
        frame = scored.frame
        if frame.segment != self._segment or frame.time_s - self._at_s[-1][-1] > GAP_S:
            self.cut()
        if self._segment is None:
            for parts in (self._at_s, *self._levels.values(), *self._values.values()):
                parts.append([])
        self._segment = frame.segment
        self._at_s[-1].append(frame.time_s)
        self.lows.append(scored.spread.low)
        measures = dict(scored.measures)
        for zone, mask in self._zones.items():
            self._levels[zone][-1].append(scored.level_in(mask))
            for field in self._fields:
                self._values[zone, field][-1].append(_highest(measures.get(field), mask))

    def cut(self) -> None:
        """Begin a new stretch with the next frame."""
        self._segment = None

    def streams(self) -> dict[str, list[ScoreStream]]:
        """The levels of every zone."""
        return {zone: self._of(parts) for zone, parts in self._levels.items()}

    def field_streams(self) -> dict[Key, list[ScoreStream]]:
        """The values of every zone and field."""
        return {key: self._of(parts) for key, parts in self._values.items()}

    def _of(self, parts: list[list[float]]) -> list[ScoreStream]:
        return [ScoreStream(np.array(at_s), np.array(part)) for at_s, part in zip(self._at_s, parts, strict=True)]


def _highest(values: Float32Array | None, mask: BoolGrid | None) -> float:
    if values is None:
        return 0.0
    return float(values.max()) if mask is None else float(values[mask].max(initial=0.0))


class FieldLevelRecorder:
    """Collects where in the picture each field's values were, before any suppression map.

    Args:
        suppression: (h, w) what scored values are divided by; None for nothing.
    """

    def __init__(self, zones: Mapping[str, BoolGrid | None], fields: Sequence[str], suppression: Float32Array | None) -> None:
        self._suppression = suppression
        self._of_field = {field: NormalLevelRecorder(zones) for field in fields}

    def add(self, scored: FrameScore) -> None:
        """Note one frame."""
        for field, values in scored.measures:
            before = values if self._suppression is None else values * self._suppression
            self._of_field[field].add(scored.frame.time_s, before)

    def found(self) -> dict[str, NormalLevels] | None:
        """All of them by field; None if there were none, or too many."""
        found = {field: levels for field, of_field in self._of_field.items() if (levels := of_field.found()) is not None}
        return found if found and len(found) == len(self._of_field) else None
