"""From what each field measures to one level: the highest multiple of a field's own unit.

A unit is what the field's threshold is at a cell, or, where no threshold is known yet, what normal footage reaches. So every
field is judged on its own scale, and a noisy one cannot deafen another.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streamwatch.records import Float32Array, Measures

APPEARANCE, MOTION = "appearance", "motion"


@dataclass(frozen=True, eq=False)
class FieldUnits:
    """What a field's value is divided by, for the whole picture or cell by cell (h, w).

    Raises:
        ValueError: a unit is not positive.
    """

    appearance: float | Float32Array = 1.0
    motion: float | Float32Array = 1.0

    def __post_init__(self) -> None:
        if not (np.all(np.asarray(self.appearance) > 0) and np.all(np.asarray(self.motion) > 0)):
            raise ValueError("units of fields must be positive")

    def of(self, field: str) -> float | Float32Array:
        """One field's; 1 for a field that has none."""
        return {APPEARANCE: self.appearance, MOTION: self.motion}.get(field, 1.0)

    def widest(self, other: FieldUnits) -> FieldUnits:
        """The larger unit of each field; of whole pictures."""
        return FieldUnits(max(self.appearance, other.appearance), max(self.motion, other.motion))

    def level(self, measures: Measures, grid: tuple[int, int]) -> Float32Array:
        """(h, w) the highest multiple at each cell; zeros where no field says anything."""
        multiples = [values / np.asarray(self.of(field), dtype=np.float32) for field, values in measures]
        return np.maximum.reduce(multiples) if multiples else np.zeros(grid, dtype=np.float32)
