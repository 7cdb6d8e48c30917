"""How unusual a map's value is, in the units of a tail: -log10 of the chance that normal footage reaches it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

EMPIRICAL_LEVEL = 3.0
"""Up to one value in a thousand (10^-3) the tail is counted, beyond it is exponential."""
KNOTS = 257

Values = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Tail:
    """The upper tail of one field's map values on held-out normal footage, all positions together.

    Attributes:
        knots: (257,) map values whose exceedance is 10^-u, for u evenly from 0 to 3.
        scale: mean excess over the last knot: P(X > x) = 10^-3 exp(-(x - last) / scale).
        count: values that it was counted on.
    """

    knots: npt.NDArray[np.float64]
    scale: float
    count: int

    def __post_init__(self) -> None:
        if self.knots.shape != (KNOTS,) or not self.scale > 0:
            raise ValueError(f"a tail needs {KNOTS} knots and a positive scale, not {self.knots.shape}, {self.scale}")

    def level(self, values: Values) -> Values:
        """-log10 of the upper-tail probability of map values, of any shape; 3 is one in a thousand."""
        last = self.knots[-1]
        inside = np.interp(values, self.knots, _EXPONENTS)
        beyond = EMPIRICAL_LEVEL + (values - last) / (self.scale * math.log(10))
        return np.where(values > last, beyond, inside).astype(np.float32)


_EXPONENTS = np.linspace(0.0, EMPIRICAL_LEVEL, KNOTS)


def fit_tail(values: npt.NDArray[np.floating]) -> Tail:
    """Quantiles up to 99.9 %, and an exponential beyond by its mean excess (the maximum-likelihood scale).

    Raises:
        ValueError: no values.
    """
    flat = np.sort(np.asarray(values, dtype=np.float64).ravel())
    knots = np.quantile(flat, 1.0 - 10.0**-_EXPONENTS)
    excess = flat[flat > knots[-1]] - knots[-1]
    spread = max(float(knots[-1] - knots[0]), abs(float(knots[-1])), 1e-6)
    scale = float(excess.mean()) if len(excess) else 0.0
    return Tail(knots, max(scale, 1e-3 * spread), len(flat))


def merge_tails(tails: Sequence[Tail]) -> Tail:
    """One tail of all the footage: exceedances averaged, weighted by how many values each was counted on.

    Raises:
        ValueError: no tails.
    """
    if len(tails) == 1:
        return tails[0]
    weights = np.array([tail.count for tail in tails], dtype=np.float64)
    at = np.unique(np.concatenate([tail.knots for tail in tails]))
    exceedance = np.average(
        [10.0 ** -tail.level(at.astype(np.float32)).astype(np.float64) for tail in tails], axis=0, weights=weights
    )
    levels = -np.log10(np.maximum(exceedance, 10.0**-30))
    knots = np.interp(_EXPONENTS, np.maximum.accumulate(levels), at)
    scale = float(np.average([tail.scale for tail in tails], weights=weights))
    return Tail(knots, scale, int(weights.sum()))
