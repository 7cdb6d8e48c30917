"""Whether anything has changed in a picture: of a scene that stands still the last result holds.

Two pictures of a scene that stands still differ by noise. The means of 8x8 pixels differ by as much less, and of 20 such blocks
19 by less than 1.96 standard deviations, which measures it from the pictures themselves. (Not the median: a coder skips most of
a still picture, whose median difference is 0.) A block that differs by more than five has changed: of 64x64 that are Gaussian
one does so by chance in one picture of 400, which costs a score and nothing else.
"""

from __future__ import annotations

import cv2
import numpy as np

from streamwatch.records import SPEED_GRID, Float32Array, UInt8Array
from streamwatch.video.optical_flow import OLDEST_STEPS

RESCORE_S = 2.0
"""A result does not hold for longer, whatever the pictures say."""
_ROUNDING_S = 1e-6
"""Of times, which are multiples of a time base."""
FILTERED_S = 1.2
"""Four time constants of the causal filter (``model.scoring.temporal``): of what was there before, 2 % are left in a level."""
_DEVIATIONS = 5.0
_QUANTILE, _OF_GAUSSIAN = 0.95, 1.96
_LEAST_LEVELS, _MOST_LEVELS = 1.0, 4.0
"""Grey levels that a block may differ by at least, for eight bits are no finer, and at most, for where more than one block in
20 moves the quantile is no noise."""


def blocks_of(grey: UInt8Array) -> Float32Array:
    """(64, 64) mean grey levels of 8x8 pixels every 4, of a (256, 256) picture."""
    cells = cv2.resize(grey.astype(np.float32), (SPEED_GRID, SPEED_GRID), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.blur(cells, (2, 2)), dtype=np.float32)


def changed(now: Float32Array, before: Float32Array) -> bool:
    """Whether ``blocks_of`` two pictures differ somewhere by more than the noise of all."""
    differ = now - before
    noise = float(np.quantile(np.abs(differ - np.median(differ)), _QUANTILE)) / _OF_GAUSSIAN
    return bool(np.abs(differ).max() > min(max(_DEVIATIONS * noise, _LEAST_LEVELS), _MOST_LEVELS))


class MotionGate:
    """Tells of one stream's frames, in their order, which need no score: nothing has changed since the last that has one.

    Pictures are compared with the first since something changed, so that what changes slowly is seen, too. A frame can be the
    last that is scored only if all that its speed is measured from is since then, and the causal filter has come to rest: else
    its result tells of a thing that moved, or has gone.

    Args:
        step_s: age of the picture that speed is measured against; None where it is not.
    """

    def __init__(self, step_s: float | None) -> None:
        self._settles_s = FILTERED_S + OLDEST_STEPS * (step_s or 0.0)
        self._since: tuple[float, Float32Array] | None = None
        self._scored_s = float("-inf")

    def holds(self, grey: UInt8Array, time_s: float) -> bool:
        """Whether the last result holds for the frame at ``time_s``, (256, 256) grey; if not, it is the next that is scored."""
        blocks = blocks_of(grey)
        if self._since is None or changed(blocks, self._since[1]):
            self._since = time_s, blocks
        settled = self._scored_s >= self._since[0] + self._settles_s
        if settled and 0 <= time_s - self._scored_s < RESCORE_S - _ROUNDING_S:
            return True
        self._scored_s = time_s
        return False
