"""The nightly update: a model learns the day's normal frames, and replaces the one before it only if it proves as good.

The model forgets as much as it learns: its moments are scaled down by the weight of the day, at most 5 %, so that it always
weighs what its first footage weighed, and a day's say halves in 14 nights (exponential forgetting). No frame counts more
than four times. Every fifth block of the day is held out; on it the new model must not be farther from normal than the old
one, and what raised an alarm lately, and was not called normal, must still raise it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from streamwatch.evidence.event_frames import EventFrames
from streamwatch.evidence.normal_frames import KeptFrames
from streamwatch.inference.engine import Engine
from streamwatch.model.adaptation import fade, teach
from streamwatch.model.batches import FrameBatch
from streamwatch.model.scene import LEARN_BATCH_FRAMES, SceneModel
from streamwatch.records import Float32Array, Float64Array, UInt8Array

Rows = npt.NDArray[np.intp]
DAY_SHARE = 0.05
MAX_WEIGHT = 4
BLOCK_FRAMES = 8
HELD_OUT_EVERY = 5
MIN_FRAMES = 2 * BLOCK_FRAMES * HELD_OUT_EVERY
"""80 frames, four hours: two held-out blocks."""
WORSE_AT = 1.02
"""Held-out levels may rise by so much: fewer frames than that differ by chance."""
HIGH_QUANTILE = 0.95


@dataclass(frozen=True, slots=True)
class UpdateResult:
    """What came of an update.

    Attributes:
        learned, held_out: frames.
        share: of the new model's weight that they have.
        before, after: median and 95 % quantile of the held-out frames' levels.
        alarms: events that the old model would raise again, and how many of them the new one would.
    """

    accepted: bool
    why: str
    learned: int = 0
    held_out: int = 0
    share: float = 0.0
    before: tuple[float, float] = (0.0, 0.0)
    after: tuple[float, float] = (0.0, 0.0)
    alarms: tuple[int, int] = (0, 0)


def weight_of_day(known: int, frames: int) -> int:
    """How often each of a day's frames counts in a model of ``known`` frames."""
    return max(1, min(MAX_WEIGHT, int(DAY_SHARE * known / frames)))


def parts_of(frames: int, known: int) -> tuple[Rows, Rows]:
    """Rows to learn, evenly over the day and at most 5 % of what the model knows, and rows to hold out."""
    rows = np.arange(frames)
    held = rows // BLOCK_FRAMES % HELD_OUT_EVERY == HELD_OUT_EVERY - 1
    learned = rows[~held]
    every = max(1, math.ceil(len(learned) / (DAY_SHARE * known)))
    return learned[::every], rows[held]


def update_model(model: SceneModel, engine: Engine, day: KeptFrames, alarms: Sequence[EventFrames]) -> UpdateResult:
    """Teach ``model`` the day, in place; whether it may replace the one before. If not, it must be thrown away.

    Args:
        model: with its moments, and calibrated.
        day: of the model's regime.
        alarms: what was kept of the camera's events that nobody called normal.

    Raises:
        ModelError: the moments are not loaded.
    """
    frames = len(day.pixels)
    if frames < MIN_FRAMES:
        return UpdateResult(False, f"only {frames} normal frames, and {MIN_FRAMES} are needed")
    if DAY_SHARE * model.frames < BLOCK_FRAMES:
        return UpdateResult(False, f"the model was learned from {model.frames} frames only: fit it on more footage")
    learned, held = parts_of(frames, model.frames)
    start = model.calibration_.start_threshold if model.calibration_ else float("inf")
    before, old_peaks = _levels(model, engine, day, held), _peaks(model, engine, alarms)
    weight = weight_of_day(model.frames, len(learned))
    share = weight * len(learned) / model.frames
    fade(model, share)
    teach(model, engine.embedder, _batches(engine, day, learned), weight)
    after, new_peaks = _levels(model, engine, day, held), _peaks(model, engine, alarms)
    raised = [new >= start for old, new in zip(old_peaks, new_peaks, strict=True) if old >= start]
    accepted, why = acceptance_of(_middle_and_high(before), _middle_and_high(after), raised)
    return UpdateResult(
        accepted,
        why,
        learned=len(learned),
        held_out=len(held),
        share=share,
        before=_middle_and_high(before),
        after=_middle_and_high(after),
        alarms=(len(raised), sum(raised)),
    )


def acceptance_of(before: tuple[float, float], after: tuple[float, float], raised: Sequence[bool]) -> tuple[bool, str]:
    """Whether an update may stay, and why, given held-out levels and which old alarms it would raise again."""
    if not all(raised):
        return False, f"{len(raised) - sum(raised)} of {len(raised)} alarms would not be raised again"
    if any(new > WORSE_AT * old for new, old in zip(after, before, strict=True)):
        return False, "held-out frames of the day are farther from normal than before"
    return True, "as good on held-out frames, and blind to no alarm"


def _levels(model: SceneModel, engine: Engine, day: KeptFrames, rows: Rows) -> Float64Array:
    found = [model.levels(engine.embedder, batch).max(axis=(1, 2)) for batch in _batches(engine, day, rows)]
    return np.concatenate(found).astype(np.float64)


def _batches(engine: Engine, day: KeptFrames, rows: Rows) -> Iterator[FrameBatch]:
    for at in range(0, len(rows), LEARN_BATCH_FRAMES):
        some = rows[at : at + LEARN_BATCH_FRAMES]
        yield _batch(engine, day.pixels[some], day.speed[some])


def _peaks(model: SceneModel, engine: Engine, alarms: Sequence[EventFrames]) -> list[float]:
    """The highest level of each event where it was, frames by themselves."""
    found = [(model.levels(engine.embedder, _batch(engine, a.pixels, a.speed)).max(axis=0), a.level > 0) for a in alarms]
    return [float(level[where].max(initial=0.0)) for level, where in found]


def _batch(engine: Engine, pixels: UInt8Array, speed: Float32Array) -> FrameBatch:
    times = torch.zeros(len(pixels), dtype=torch.float64)
    return FrameBatch(torch.from_numpy(pixels).to(engine.device), torch.from_numpy(speed).to(engine.device), times)


def _middle_and_high(levels: Float64Array) -> tuple[float, float]:
    middle, high = (float(q) for q in np.quantile(levels, (0.5, HIGH_QUANTILE)))
    return middle, high
