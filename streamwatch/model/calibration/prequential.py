"""Scoring footage while it is learned, by a model of what came before it: levels of normal frames for calibration.

At a quarter of the frames and at half of them a model is made of what was learned so far, and scores all that comes after:
exactly what a model does that is put to work. (Where the number of frames is not known before, a model is made at 128 and
whenever their number has doubled.) Nothing is read twice, nothing is kept but a few numbers per frame. Levels count only
where the model that gave them had seen nearly a quarter of all the footage, so that half of it or more is scored, each
frame by a model that has not seen it.

A level is the highest of a function of the two fields' maps that rises with both (``fusion.level_of``). So of each frame
only the cells are kept that no other cell exceeds in both fields, and of each block of cells the highest value of each field
(``normal_levels``); the fusion, which the whole footage sets, comes later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from streamwatch.model.calibration.normal_levels import (
    MAX_FRAMES,
    Float16Array,
    NormalLevels,
    cut_at_gaps,
    highest_of_blocks,
    rounded_up,
)
from streamwatch.model.scoring.fusion import FieldMaps, Fusion, level_of
from streamwatch.model.scoring.stream_scorer import spread_of
from streamwatch.model.scoring.temporal import CausalFilter
from streamwatch.records import BoolGrid, Float32Array, ScoreStream, Spread

FIRST_MODEL_FRAMES = 128
SHARE_SEEN = 0.24
"""A level counts if its model had seen this share of the frames: a quarter, but for frames that were held out then."""
GAP_S = 5.0
"""After a longer gap a new stretch begins; the blocks that are held out leave shorter ones."""

WHOLE_PICTURE: Mapping[str, BoolGrid | None] = {"": None}


@dataclass
class _Observed:
    """One frame: how many frames its model had seen, its spread, and per zone the (2, K) cells that stand out.

    Attributes:
        blocks: (2, B) appearance and motion, the highest of each block of the picture; None if there were too many frames.
    """

    at_s: float
    seen: int
    spread: Spread
    cells: dict[str, Float32Array]
    blocks: dict[str, Float16Array] | None = None


@dataclass
class PrequentialScorer:
    """Collects what ``SceneModel.fit`` scores on its way.

    Args:
        zones: (h, w) True where a zone's cells are; None for the whole picture.
        expected_frames: how many frames there will be, held out or not; None if that is not known.
    """

    zones: Mapping[str, BoolGrid | None] = field(default_factory=lambda: dict(WHOLE_PICTURE))
    expected_frames: int | None = None
    _observed: list[_Observed] = field(default_factory=list)
    _held: list[list[_Observed]] = field(default_factory=list)
    _appearance: CausalFilter = field(default_factory=CausalFilter)
    _motion: CausalFilter = field(default_factory=CausalFilter)

    def wants_model(self, known: int, seen: int) -> bool:
        """Whether a new model is due, ``known`` frames being learned and the last model having seen ``seen``."""
        if self.expected_frames is None:
            return known >= max(FIRST_MODEL_FRAMES, 2 * seen)
        quarter = max(FIRST_MODEL_FRAMES, self.expected_frames / 4)
        return (seen < quarter <= known) or (quarter <= seen < 2 * quarter <= known)

    def observe(self, maps: FieldMaps, at_s: float, seen: int) -> None:
        """Note one frame's maps, by a model of ``seen`` frames; a frame that comes after a later one is left out."""
        if self._observed and at_s <= self._observed[-1].at_s:
            return
        few = len(self._observed) < MAX_FRAMES
        self._observed.append(self._record(maps, at_s, seen, (self._appearance, self._motion), with_blocks=few))

    def observe_held(self, block: Sequence[FieldMaps], times_s: Sequence[float], seen: int) -> None:
        """Note a block that was held out, by a model of ``seen`` frames that has all but such blocks."""
        filters = CausalFilter(), CausalFilter()
        self._held.append([self._record(maps, at_s, seen, filters) for maps, at_s in zip(block, times_s, strict=True)])

    def _record(
        self, maps: FieldMaps, at_s: float, seen: int, filters: tuple[CausalFilter, CausalFilter], *, with_blocks: bool = False
    ) -> _Observed:
        smooth = FieldMaps(filters[0].apply(maps.appearance, at_s), filters[1].apply(maps.motion, at_s))
        cells = {zone: pareto_front(smooth, mask) for zone, mask in self.zones.items()}
        blocks = {zone: _highest_of_fields(smooth, mask) for zone, mask in self.zones.items()} if with_blocks else None
        return _Observed(at_s, seen, spread_of(smooth), cells, blocks)

    def lows(self, frames: int) -> list[float]:
        """The low of the spread of every frame that counts, given how many were learned in all."""
        return [observed.spread.low for observed in self._counted(frames)]

    def _counted(self, frames: int) -> list[_Observed]:
        return [observed for observed in self._observed if observed.seen >= SHARE_SEEN * frames]

    def stretches(self, zone: str, fusion: Fusion | None, frames: int) -> list[ScoreStream]:
        """A zone's levels, given the final fusion and how many frames were learned in all."""
        counted = self._counted(frames)
        at_s = np.array([observed.at_s for observed in counted])
        return cut_at_gaps(at_s, np.array([_level(observed.cells[zone], fusion) for observed in counted]), GAP_S)

    def normal_levels(self, fusion: Fusion | None, frames: int) -> NormalLevels | None:
        """Where the levels of ``stretches`` were; None if there are none, or too many to keep."""
        counted = self._counted(frames)
        kept = [observed.blocks for observed in counted if observed.blocks is not None]
        if not kept or len(kept) < len(counted):
            return None
        at_s = np.array([observed.at_s for observed in counted])
        levels = np.array([[_level(observed.cells[zone], fusion) for observed in counted] for zone in self.zones])
        blocks = [[rounded_up(_levels(of[zone].astype(np.float32), fusion)) for of in kept] for zone in self.zones]
        widest = max(len(row) for of_zone in blocks for row in of_zone)  # one, of a frame that says nothing
        whole = np.stack([[np.broadcast_to(row, widest) for row in of_zone] for of_zone in blocks])
        return NormalLevels(tuple(self.zones), at_s, levels, whole)

    def field_stretches(self, zone: str, frames: int) -> list[list[ScoreStream]]:
        """A zone's highest distance in each field, model by model: what one model says of one field is comparable.

        Unlike a level it owes nothing to the tails, which outliers in the footage have a part in. Frames that were held out
        are here too; of the first quarter nothing else is.
        """
        by_model: dict[int, list[_Observed]] = {}
        for observed in self._counted(frames):
            by_model.setdefault(observed.seen, []).append(observed)
        groups = [[part] for part in by_model.values()] + ([self._held] if self._held else [])
        return [_highest(group, zone, row) for group in groups for row in (0, 1)]


def _highest(blocks: Sequence[Sequence[_Observed]], zone: str, row: int) -> list[ScoreStream]:
    """Streams of the highest distance in a field; frames of which the field says nothing are left out."""
    streams = []
    for block in blocks:
        pairs = [(n.at_s, float(n.cells[zone][row].max(initial=0.0))) for n in block]
        known = np.array([pair for pair in pairs if np.isfinite(pair[1])]).reshape(-1, 2)
        streams += cut_at_gaps(known[:, 0], known[:, 1], GAP_S)
    return streams


def pareto_front(maps: FieldMaps, mask: BoolGrid | None) -> Float32Array:
    """(2, K) appearance and motion of the cells that no cell exceeds in both; NaN for a field that says nothing."""
    appearance, motion = (None if m is None else m.ravel() if mask is None else m[mask] for m in (maps.appearance, maps.motion))
    nothing = np.float32(np.nan)
    if appearance is None or motion is None:
        a, m = (nothing if v is None or not len(v) else v.max() for v in (appearance, motion))
        return np.array([[a], [m]], dtype=np.float32)
    order = np.argsort(-appearance)
    best = np.maximum.accumulate(motion[order])
    front = order[np.concatenate([[True], best[1:] > best[:-1]])] if len(order) else order
    return np.stack([appearance[front], motion[front]]).astype(np.float32)


def _highest_of_fields(maps: FieldMaps, mask: BoolGrid | None) -> Float16Array:
    """(2, B) the highest appearance and motion of each block, rounded up; NaN for a field that says nothing."""
    known = next((m for m in (maps.appearance, maps.motion) if m is not None), None)
    if known is None:
        return np.full((2, 1), np.nan, dtype=np.float16)
    nothing = np.full(known.shape, np.nan, dtype=np.float32)
    grids = [nothing if m is None else m if mask is None else m * mask for m in (maps.appearance, maps.motion)]
    return np.stack([rounded_up(highest_of_blocks(grid)) for grid in grids])


def _level(cells: Float32Array, fusion: Fusion | None) -> float:
    """The level that the outstanding cells give."""
    return float(_levels(cells, fusion).max()) if cells.size else 0.0


def _levels(cells: Float32Array, fusion: Fusion | None) -> Float32Array:
    """(K,) the level that each of (2, K) appearance and motion gives."""
    appearance, motion = (None if np.isnan(row).any() else row for row in cells)
    if fusion is not None and appearance is not None:
        return level_of(fusion.tails(FieldMaps(appearance, motion)), fusion.lift)
    alone = appearance if motion is None else motion
    return np.zeros(cells.shape[1], dtype=np.float32) if alone is None else alone
