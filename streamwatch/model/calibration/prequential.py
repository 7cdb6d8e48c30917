"""Scoring footage while it is learned, by a model of what came before it: values of normal frames for calibration.

At a quarter of the frames and at half of them a model is made of what was learned so far, and scores all that comes after:
exactly what a model does that is put to work. (Where the number of frames is not known before, a model is made at 128 and
whenever their number has doubled.) Nothing is read twice, nothing is kept but a few numbers per frame. Values of appearance
count only where the model that gave them had seen nearly a quarter of all the footage, so that half of it or more is scored,
each frame by a model that has not seen it. Speed needs no model, so that of motion all frames count.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from streamwatch.model.batches import FrameBatch
from streamwatch.model.calibration.normal_levels import (
    MAX_FRAMES,
    Float16Array,
    NormalLevels,
    cut_at_gaps,
    highest_of_blocks,
    rounded_up,
)
from streamwatch.model.holdout import MIN_FRAMES
from streamwatch.model.scoring.anomaly_map import smooth
from streamwatch.model.scoring.fusion import FieldMaps
from streamwatch.model.scoring.motion_field import SIZES_CELLS
from streamwatch.model.scoring.stream_scorer import spread_of
from streamwatch.model.scoring.temporal import CausalFilter
from streamwatch.records import BoolGrid, Float32Array, Float64Array, ScoreStream
from streamwatch.scores import Spread

FIRST_MODEL_FRAMES = 128
"""Where it is not known how many frames there will be."""
SHARE_SEEN = 0.24
"""A value counts if its model had seen this share of the frames: a quarter, but for frames that were held out then."""
GAP_S = 5.0
"""After a longer gap of the footage a new stretch begins."""
STEPS_TO_GAP = 3.0
"""Frames that are further apart than this many usual steps do not tell what was held between them. The blocks that are held
out leave such gaps."""

WHOLE_PICTURE: Mapping[str, BoolGrid | None] = {"": None}


@dataclass(frozen=True)
class _Seen:
    """What one field showed of one frame.

    Attributes:
        seen: how many frames the model had seen; 0 for motion.
        highest: by zone, the highest value; of motion one for each size.
        blocks: by zone, the highest of each block of the picture, (B,) or (sizes, B); None if there were too many frames.
        spread: of appearance.
    """

    at_s: float
    seen: int
    highest: Mapping[str, Float32Array]
    blocks: Mapping[str, Float16Array] | None
    spread: Spread | None = None


@dataclass
class PrequentialScorer:
    """Collects what is scored while a scene is learned.

    Args:
        zones: (h, w) True where a zone's cells are; None for the whole picture.
        expected_frames: how many frames there will be, held out or not; None if that is not known.
    """

    zones: Mapping[str, BoolGrid | None] = field(default_factory=lambda: dict(WHOLE_PICTURE))
    expected_frames: int | None = None
    _appearance: list[_Seen] = field(default_factory=list)
    _motion: list[_Seen] = field(default_factory=list)
    _held: list[list[_Seen]] = field(default_factory=list)
    _filter: CausalFilter = field(default_factory=CausalFilter)
    _filters: list[CausalFilter] = field(default_factory=lambda: [CausalFilter() for _ in SIZES_CELLS])

    def wants_model(self, known: int, seen: int) -> bool:
        """Whether a new model is due, ``known`` frames being learned and the last model having seen ``seen``."""
        due = self.next_model_at(seen)
        return due is not None and known >= due

    def next_model_at(self, seen: int) -> float | None:
        """At how many learned frames a new model is due, the last one having seen ``seen``; None for no more."""
        if self.expected_frames is None:
            return max(FIRST_MODEL_FRAMES, 2 * seen)
        quarter = max(MIN_FRAMES, self.expected_frames / 4)
        return next((share for share in (quarter, 2 * quarter) if seen < share), None)

    def extend(self, later: PrequentialScorer, by_s: float) -> None:
        """Add what another one noted of footage that comes after all that this one saw, its times moved by ``by_s``."""
        for mine, theirs in ((self._appearance, later._appearance), (self._motion, later._motion)):
            for seen in theirs:
                mine.append(_copied(seen, by_s, with_blocks=len(mine) < MAX_FRAMES))

    def share_to_come(self, known: int) -> float:
        """How many times as much footage the final model will have seen as one of ``known`` frames, as far as that is known.

        What scores prequentially is shrunk as the final model will be: shrunk more, it would measure smaller distances.
        """
        return max((self.expected_frames or known) / max(known, 1), 1.0)

    def watching(self, batches: Iterable[FrameBatch]) -> Generator[FrameBatch]:
        """Pass batches on, noting the motion of every frame."""
        for batch in batches:
            speed = batch.speed.float().cpu()
            sizes = torch.stack([smooth(speed, size) for size in SIZES_CELLS], dim=1).numpy()
            for of_sizes, at_s in zip(sizes, batch.time_s.tolist(), strict=True):
                self._watch(of_sizes, at_s)
            yield batch

    def _watch(self, sizes: Float32Array, at_s: float) -> None:
        """Note one frame's speeds, (sizes, h, w); one that comes after a later one, or without evidence, is left out."""
        if self._motion and at_s <= self._motion[-1].at_s:
            return
        known = not np.isnan(sizes[0, 0, 0])
        filtered = [f.apply(grid if known else None, at_s) for f, grid in zip(self._filters, sizes, strict=True)]
        if known:
            grids = np.stack([grid for grid in filtered if grid is not None])
            self._motion.append(_record(self.zones, grids, at_s, 0, with_blocks=len(self._motion) < MAX_FRAMES))

    def observe(self, appearance: Float32Array | None, at_s: float, seen: int) -> None:
        """Note one frame's map by a model of ``seen`` frames; a frame that comes after a later one is left out."""
        if appearance is None or (self._appearance and at_s <= self._appearance[-1].at_s):
            return
        filtered = self._filter.apply(appearance, at_s)
        if filtered is not None:
            self._appearance.append(_record(self.zones, filtered, at_s, seen, with_blocks=len(self._appearance) < MAX_FRAMES))

    def observe_held(self, block: Sequence[FieldMaps], times_s: Sequence[float]) -> None:
        """Note the appearance of a block that was held out, by a model that has all but such blocks."""
        causal = CausalFilter()
        maps = [(causal.apply(m.appearance, at_s), at_s) for m, at_s in zip(block, times_s, strict=True)]
        self._held.append([_record(self.zones, grid, at_s, 0) for grid, at_s in maps if grid is not None])

    def lows(self, frames: int) -> list[float]:
        """The low of the spread of every frame that counts, given how many were learned in all."""
        return [seen.spread.low for seen in self._counted(frames) if seen.spread]

    def _counted(self, frames: int) -> list[_Seen]:
        return [seen for seen in self._appearance if seen.seen >= SHARE_SEEN * frames]

    def appearance_streams(self, zone: str, frames: int) -> list[ScoreStream]:
        """A zone's distances, given how many frames were learned in all."""
        return _streams(self._counted(frames), zone)

    def motion_streams(self, zone: str, size_cells: float) -> list[ScoreStream]:
        """A zone's speeds at one of the sizes."""
        return _streams(self._motion, zone, SIZES_CELLS.index(size_cells))

    def normal_appearance(self, frames: int) -> NormalLevels | None:
        """Where the values of ``appearance_streams`` were; None if there are none, or too many to keep."""
        return _normal_levels(self.zones, self._counted(frames), None)

    def normal_motion(self, size_cells: float) -> NormalLevels | None:
        """Where the values of ``motion_streams`` were; None if there are none, or too many to keep."""
        return _normal_levels(self.zones, self._motion, SIZES_CELLS.index(size_cells))

    def field_stretches(self, zone: str, frames: int, size_cells: float | None) -> list[list[ScoreStream]]:
        """A zone's highest value in each field, model by model: what one model says of one field is comparable.

        Frames that were held out are here too; of the first quarter's appearance nothing else is.

        Args:
            size_cells: of motion; None for a model without.
        """
        by_model: dict[int, list[_Seen]] = {}
        for observed in self._counted(frames):
            by_model.setdefault(observed.seen, []).append(observed)
        groups = [_streams(part, zone, gap_s=GAP_S) for part in by_model.values()]
        groups += [[stream for block in self._held for stream in _streams(block, zone)]] if any(self._held) else []
        return groups if size_cells is None else [*groups, self.motion_streams(zone, size_cells)]


def _record(
    zones: Mapping[str, BoolGrid | None], grids: Float32Array, at_s: float, seen: int, *, with_blocks: bool = False
) -> _Seen:
    """Of (h, w), or of (sizes, h, w)."""
    masked = {zone: grids if mask is None else grids * mask for zone, mask in zones.items()}
    highest = {zone: values.max(axis=(-2, -1)) for zone, values in masked.items()}
    blocks = {zone: rounded_up(_blocks_of(values)) for zone, values in masked.items()} if with_blocks else None
    spread = spread_of(FieldMaps(grids, None)) if grids.ndim == 2 else None
    return _Seen(at_s, seen, highest, blocks, spread)


def _normal_levels(zones: Mapping[str, BoolGrid | None], seen: Sequence[_Seen], size: int | None) -> NormalLevels | None:
    kept = [s.blocks for s in seen if s.blocks is not None]
    if not kept or len(kept) < len(seen):
        return None
    at_s = np.array([s.at_s for s in seen])
    row = slice(None) if size is None else size
    levels = np.array([[_of(s.highest[zone], size) for s in seen] for zone in zones])
    blocks = np.stack([np.stack([of[zone][row] for of in kept]) for zone in zones])
    return NormalLevels(tuple(zones), at_s, levels, blocks)


def _copied(seen: _Seen, by_s: float, *, with_blocks: bool) -> _Seen:
    """Of its own memory: another process's values lie in one piece with whatever else it sent."""
    blocks = {zone: values.copy() for zone, values in seen.blocks.items()} if seen.blocks and with_blocks else None
    highest = {zone: values.copy() for zone, values in seen.highest.items()}
    return replace(seen, at_s=seen.at_s + by_s, highest=highest, blocks=blocks)


def _of(values: Float32Array, size: int | None) -> float:
    return float(values if size is None else values[size])


def _streams(seen: Sequence[_Seen], zone: str, size: int | None = None, gap_s: float | None = None) -> list[ScoreStream]:
    """Values over time, cut at ``gap_s``, or where the frames do not tell what was held between them."""
    at_s = np.array([s.at_s for s in seen])
    values: Float64Array = np.array([_of(s.highest[zone], size) for s in seen], dtype=np.float64)
    return cut_at_gaps(at_s, values, untold_gap_s(at_s) if gap_s is None else gap_s)


def untold_gap_s(at_s: Float64Array) -> float:
    """From which gap on frames at these times do not tell what was held between them."""
    usual_s = float(np.median(np.diff(at_s))) if len(at_s) > 1 else GAP_S
    return min(GAP_S, STEPS_TO_GAP * usual_s)


def _blocks_of(grids: Float32Array) -> Float32Array:
    """The highest of each block: (h, w) to (B,), (sizes, h, w) to (sizes, B)."""
    return highest_of_blocks(grids) if grids.ndim == 2 else np.stack([highest_of_blocks(grid) for grid in grids])
