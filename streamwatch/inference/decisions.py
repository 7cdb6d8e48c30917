"""From a batch's maps to what each frame comes to: many streams at once, on the device that holds the maps."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor

from streamwatch.model.scene import SceneModel
from streamwatch.model.scoring.fusion import FieldMaps, field_maps_of
from streamwatch.model.scoring.levels import FieldUnits
from streamwatch.model.scoring.stream_bank import Decision, StreamBank, not_finite
from streamwatch.model.scoring.stream_scorer import StreamRules, StreamScorer
from streamwatch.records import SPEED_GRID, BoolGrid, Frame
from streamwatch.scores import Highest


class Decisions:
    """Every watched camera's filters and rules.

    A model that names no units, as files of before they were have it and what they are merged into, is judged on the host,
    frame by frame: it fuses its fields to make a level.
    """

    def __init__(self, device: torch.device) -> None:
        self._bank = StreamBank((SPEED_GRID, SPEED_GRID), device)
        self._one_by_one: dict[str, StreamScorer] = {}
        self._sees: dict[str, tuple[bool, bool]] = {}

    def begin(self, camera: str, model: SceneModel, rules: StreamRules, zones: Sequence[BoolGrid]) -> None:
        """Judge ``camera`` by ``rules`` from its next frame on, as a stream that begins."""
        self.forget(camera)
        if rules.units is None:
            self._one_by_one[camera] = StreamScorer(rules)
            self._sees[camera] = model.sees_appearance, model.sees_motion
        else:
            self._bank.begin(camera, rules, (model.sees_appearance, model.sees_motion), zones)

    def judge(self, camera: str, units: FieldUnits | None, zones: Sequence[BoolGrid]) -> None:
        """Measure a camera's fields in other units, where they are named, and in other zones, from its next frame on."""
        if camera in self._bank:
            self._bank.judge(camera, units, zones)

    def forget(self, camera: str) -> None:
        """The stream ends."""
        self._one_by_one.pop(camera, None)
        self._bank.forget(camera)

    def decide(self, frames: Sequence[Frame], held: Sequence[bool], grids: Tensor) -> list[Decision]:
        """What the frames come to that are not held, in the order of the batch.

        Args:
            held: frames that have their camera's last result; between two others of one camera they come in their turn.
            grids: (2, N, h, w) appearance and motion maps of the frames that are not held, NaN where a field says nothing.

        Raises:
            ModelError: a map is not finite.
        """
        return self._in_turn(frames, held, grids) if any(held) else self._all(frames, grids)

    @contextmanager
    def undone_on_fault(self, cameras: Collection[str]) -> Iterator[None]:
        """What fails in here leaves these cameras' streams as they were: their frames may come again."""
        before = {camera: scorer.copied() for camera, scorer in self._one_by_one.items() if camera in cameras}
        with ExitStack() as undo, self._bank.undone_on_fault(cameras):
            undo.callback(self._one_by_one.update, before)
            yield
            undo.pop_all()

    def _in_turn(self, frames: Sequence[Frame], held: Sequence[bool], grids: Tensor) -> list[Decision]:
        """Stretches without held frames at once, so that a filter hears of each in its turn."""
        decided, waiting = list[Decision](), list[Frame]()
        for frame, holds in zip(frames, held, strict=True):
            if not holds:
                waiting.append(frame)
                continue
            if any(one.camera == frame.camera for one in waiting):
                decided += self._all(waiting, grids[:, len(decided) : len(decided) + len(waiting)])
                waiting = []
            self._hold(frame)
        return decided + self._all(waiting, grids[:, len(decided) :])

    def _hold(self, frame: Frame) -> None:
        if frame.camera in self._bank:
            self._bank.hold(frame.camera, frame.time_s)
        else:
            self._one_by_one[frame.camera].hold(frame.time_s)

    def _all(self, frames: Sequence[Frame], grids: Tensor) -> list[Decision]:
        alone = [row for row, frame in enumerate(frames) if frame.camera in self._one_by_one]
        if not alone:
            return self._bank.decide(frames, grids) if frames else []
        together = [row for row in range(len(frames)) if row not in alone]
        decided = dict(zip(alone, self._each([frames[row] for row in alone], grids[:, alone]), strict=True))
        if together:
            decided |= zip(together, self._bank.decide([frames[row] for row in together], grids[:, together]), strict=True)
        return [decided[row] for row in range(len(frames))]

    def _each(self, frames: Sequence[Frame], grids: Tensor) -> list[Decision]:
        finite = grids.isfinite().flatten(2).all(dim=2).T.tolist()
        for frame, (appearance, motion) in zip(frames, finite, strict=True):
            sees = self._sees[frame.camera]
            if (sees[0] and not appearance) or (sees[1] and frame.speed is not None and not motion):
                raise not_finite(frame.camera)
        return [self._one(frame, maps) for frame, maps in zip(frames, host_maps(grids), strict=True)]

    def _one(self, frame: Frame, maps: FieldMaps) -> Decision:
        found = self._one_by_one[frame.camera].score(maps, frame.time_s, frame.segment)
        return Decision(
            found.level, found.cell, found.spread, (Highest.of(found, None),), lambda: found, lambda: found.level_grid
        )


def host_maps(grids: Tensor) -> list[FieldMaps]:
    """Each frame's maps from (2, N, h, w) on the device."""
    appearance, motion = grids.cpu().numpy()
    return [field_maps_of(*pair) for pair in zip(appearance, motion, strict=True)]
