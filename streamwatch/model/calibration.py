"""A first threshold from normal footage: a high quantile of scores on frames the model did not see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

START_QUANTILE = 0.999
END_QUANTILE = 0.99
_END_TO_START = 0.95


@dataclass(frozen=True, slots=True)
class Calibration:
    """Thresholds of the frame score, and what they rest on.

    Attributes:
        start_threshold: a score from which an event may open.
        end_threshold: a score below which it may close; always lower.
        frames: number of held-out normal frames scored.
        method: how the thresholds were derived.
        tail: held-out scores, ascending (the whole sample: it is bounded).
    """

    start_threshold: float
    end_threshold: float
    frames: int
    method: str
    tail: tuple[float, ...]

    def __post_init__(self) -> None:
        if not 0 < self.end_threshold < self.start_threshold:
            raise ValueError(f"thresholds must satisfy 0 < end < start: {self.end_threshold}, {self.start_threshold}")


def calibrate(scores: Sequence[float]) -> Calibration:
    """Thresholds from held-out normal scores.

    start is their 99.9 % quantile, end their 99 % quantile, at most 95 % of start. Below 1,000 scores
    the first is close to their maximum.

    Raises:
        ValueError: no scores.
    """
    if not scores:
        raise ValueError("no held-out scores to calibrate on")
    start, end = (float(q) for q in np.quantile(scores, (START_QUANTILE, END_QUANTILE)))
    end = min(end, _END_TO_START * start)
    method = f"quantile {START_QUANTILE} of held-out normal scores"
    return Calibration(start, end, len(scores), method, tuple(sorted(float(s) for s in scores)))


def end_threshold_for(start_threshold: float, calibration: Calibration | None) -> float:
    """The end threshold that goes with a start threshold given by hand: in the calibration's proportion."""
    ratio = calibration.end_threshold / calibration.start_threshold if calibration else _END_TO_START
    return ratio * start_threshold
