"""The motion field: how fast things move, in pixels of the model's input per second, at the size of the scene's things.

Speed is a physical quantity, so that it needs no model of a place: a cyclist among walkers is fast wherever he is first seen.
What normal footage decides is the size over which speed is averaged, and the threshold (``calibration``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from streamwatch.errors import NotEnoughFrames
from streamwatch.model.holdout import BLOCK_FRAMES
from streamwatch.model.normality.moments import Moments
from streamwatch.model.scoring.anomaly_map import smooth
from streamwatch.records import INPUT_SIZE_PX, SPEED_GRID, BoolGrid, Float32Array

SIZES_CELLS = (1.0, 2.0, 3.0)
"""Standard deviations of the Gaussians to choose from: things of about 10, 20 and 30 pixels of the model's input."""
PX_PER_CELL = INPUT_SIZE_PX / SPEED_GRID
STILL_PX_S = 10.0
"""Speed that may be the estimator's own. On a still scene whose grey levels deviate by 10, noise of 3.3 grey levels reads
as 4.7 px/s at the highest cell, noise of 1.6 as 1.8; in a scene of 35, as 1.1 and 0.5 (``tests/model/scoring/
test_motion_field.py``). Twice the highest of these."""
READING_ERROR_PX_S = 2.0
"""What a reading may be wrong by: the second of these. Scaling leaves a camera by day about so much noise."""
_FASTER, _NORMAL_QUANTILE = 2.0, 0.99
_MOVES_PX_S = STILL_PX_S / 2


@dataclass(frozen=True)
class MotionField:
    """What a scene's motion is like.

    Attributes:
        moments: first and second moments of the speed at each position: how much footage there was, and what it showed.
        size_cells: standard deviation of the Gaussian that speed is averaged over.
        step_s: age of the picture that motion was measured against.
    """

    moments: Moments
    size_cells: float
    step_s: float

    def maps(self, speed: Tensor, grid: tuple[int, int]) -> Tensor:
        """(N, h, w) speeds in px/s, averaged over the size of things; NaN for frames that are NaN."""
        return smooth(speed.reshape(-1, *grid), self.size_cells)

    def relearned(self, moments: Moments) -> MotionField:
        """The same, of other moments."""
        return MotionField(moments, self.size_cells, self.step_s)

    def to(self, device: torch.device, dtype: torch.dtype) -> MotionField:
        """The field ready to score on another device: there is nothing to move."""
        del device, dtype
        return self


def choose_size(held: Sequence[Tensor]) -> float:
    """The size over which one thing that moves twice as fast as it did stands out best from normal.

    For each size: of one moving thing (a connected part of the picture) in each frame, made twice as fast, the share that
    exceeds nearly all (99 %) of the normal frames' own peaks. It needs no anomaly and no label. A small size lets noise
    through, a large one mixes the thing with what is around it.

    Args:
        held: (n, h, w) speeds of normal frames; rows without evidence are left out.
    """
    speed = torch.cat([block[torch.isfinite(block[:, 0, 0])] for block in held]) if held else torch.empty(0)
    things = [
        (row, thing) for row in range(len(speed)) if (thing := _a_moving_thing(speed[row].cpu().numpy(), row)) is not None
    ]
    if len(things) < 2:
        return SIZES_CELLS[0]
    faster = torch.stack([_made_faster(speed[row], thing) for row, thing in things])

    def stands_out(size_cells: float) -> float:
        normal, fast = (smooth(maps, size_cells).amax(dim=(1, 2)).double() for maps in (speed, faster))
        return float((fast > torch.quantile(normal, _NORMAL_QUANTILE)).double().mean())

    return max(reversed(SIZES_CELLS), key=stands_out)  # of equals, the larger: it averages over more


def _made_faster(speed: Tensor, thing: BoolGrid) -> Tensor:
    return torch.where(torch.from_numpy(thing).to(speed.device), _FASTER * speed, speed)


def _a_moving_thing(speed: Float32Array, number: int) -> BoolGrid | None:
    """(h, w) one connected part that moves, by turns another one; None if nothing does."""
    count, labels = cv2.connectedComponents((speed > _MOVES_PX_S).astype(np.uint8))
    return None if count < 2 else np.asarray(labels == 1 + number % (count - 1))


def require_motion(moments: Moments | None) -> Moments:
    """The moments, if enough frames had an earlier picture.

    Raises:
        NotEnoughFrames: they had not.
    """
    frames = moments.count if moments else 0
    if moments is None or frames < BLOCK_FRAMES // 2:
        raise NotEnoughFrames(
            f"only {frames} frames have a picture shortly before them to measure motion against",
            hint="give footage of 3 frames per second or more, or use --features appearance",
        )
    return moments
