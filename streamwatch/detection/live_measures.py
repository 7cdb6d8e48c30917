"""What the fields of watched cameras measure, from the scoring thread to the one that calibrates on it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from streamwatch.detection.camera_monitor import Observation
from streamwatch.records import ScoreStream

SILENCE_S = 5.0
"""After a longer silence nothing is known of what was held in between."""
MAX_WAITING = 20_000
"""Values of one field that may wait; half an hour at 10 frames a second. Later ones are lost, and so is their time."""
FieldKey = tuple[str | None, str, str]
"""Regime, zone and field."""


@dataclass(frozen=True)
class Stretch:
    """Values one after the other; times are Unix times.

    Attributes:
        goes_on: nothing lies between the first of them and the last that was handed over before.
    """

    stream: ScoreStream
    goes_on: bool


@dataclass
class _Field:
    """Values of one field that wait, stretch by stretch."""

    at_s: list[list[float]] = field(default_factory=list)
    values: list[list[float]] = field(default_factory=list)
    last_s: float = float("-inf")
    segment: int = 0
    goes_on: bool = False
    waiting: int = 0

    def add(self, at_s: float, value: float, segment: int) -> None:
        if self.waiting >= MAX_WAITING:
            self.last_s = float("-inf")
            return
        continues = 0 < at_s - self.last_s <= SILENCE_S and segment == self.segment
        if not self.at_s:
            self.goes_on = continues
        if not self.at_s or not continues:
            self.at_s.append([])
            self.values.append([])
        self.at_s[-1].append(at_s)
        self.values[-1].append(value)
        self.last_s, self.segment, self.waiting = at_s, segment, self.waiting + 1

    def take(self) -> list[Stretch]:
        streams = [ScoreStream(np.array(at_s), np.array(part)) for at_s, part in zip(self.at_s, self.values, strict=True)]
        taken = [Stretch(stream, self.goes_on and index == 0) for index, stream in enumerate(streams)]
        self.at_s, self.values, self.goes_on, self.waiting = [], [], False, 0
        return taken


class LiveMeasures:
    """Filled by the scoring thread, emptied by another; neither waits for the other for longer than a list takes.

    Frames that are not judged (a fault of the picture, another regime) and zones that are not armed are left out; what goes on
    ends if that lasts.
    """

    def __init__(self) -> None:
        self._cameras: dict[str, dict[FieldKey, _Field]] = {}
        self._changing = threading.Lock()

    def record(self, camera: str, at_wall_s: float, observation: Observation, segment: int = 0) -> None:
        """Take one frame, of a Unix time; between two segments (``Frame.segment``) nothing is known of what was held."""
        with self._changing:
            known = self._cameras.setdefault(camera, {})
            measured = {
                (observation.regime, zone.name, name): value for zone in observation.zones for name, value in zone.highest
            }
            for key, value in measured.items():
                known.setdefault(key, _Field()).add(at_wall_s, value, segment)

    def take(self, camera: str) -> Mapping[FieldKey, list[Stretch]]:
        """What came since it was asked last."""
        with self._changing:
            taken = {key: of_field.take() for key, of_field in self._cameras.get(camera, {}).items()}
        return {key: stretches for key, stretches in taken.items() if stretches}

    def forget(self, camera: str) -> None:
        """The camera is watched anew, or no more: what waits is of another model."""
        with self._changing:
            self._cameras.pop(camera, None)
