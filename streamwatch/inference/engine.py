"""The one owner of the device: embeds batches of all cameras, then scores each camera's frames together."""

from __future__ import annotations

import logging
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from streamwatch.errors import ModelMismatch
from streamwatch.inference.decisions import Decisions, host_maps
from streamwatch.inference.field_maps import appearance_maps_for, motion_maps
from streamwatch.inference.last_results import LastResults
from streamwatch.inference.planned_sizes import planned_for
from streamwatch.inference.precision import CheckedPrecision, map_errors, with_rounded_whiteners
from streamwatch.inference.upload import Upload, part_frames, upload_for
from streamwatch.inference.workers import Workers, workers_for
from streamwatch.model.batches import FrameBatch, sent
from streamwatch.model.embedding.embedder import Embedder
from streamwatch.model.embedding.identity import EmbeddingIdentity
from streamwatch.model.scene import TILE_FRAMES, SceneModel, rules_of
from streamwatch.model.scoring.fusion import FieldMaps
from streamwatch.model.scoring.levels import FieldUnits
from streamwatch.model.scoring.stream_bank import Decision
from streamwatch.records import INPUT_SIZE_PX, SPEED_GRID, BoolGrid, Frame, LayerShare
from streamwatch.scores import FrameScore

log = logging.getLogger(__name__)
OnBatch = Callable[[int, float], None]
Explain = Callable[[], tuple[LayerShare, ...]]


@dataclass(frozen=True)
class WatchedScene:
    """A scene ready to score, and the cells that do not count.

    Attributes:
        ignored: (h, w) True where anomalies are ignored, or None.
        units: what its fields are measured in, cell by cell, where a configuration says it; None leaves it to the model.
        zones: (h, w) True where the cells of a part of the picture are that is judged by itself.
    """

    model: SceneModel
    ignored: BoolGrid | None = None
    units: FieldUnits | None = None
    zones: tuple[BoolGrid, ...] = ()


@dataclass(frozen=True)
class _Part:
    """What a worker made of some rows of a batch.

    Attributes:
        grids: (2, n, h, w) appearance and motion maps on the device, NaN where a field says nothing.
        embeddings: (n, H, W, d) on the device; None if no scene of them sees appearance.
        errors: by camera whose precision is being checked, its frames and how far half precision is off.
    """

    rows: list[int]
    grids: Tensor
    embeddings: Tensor | None
    errors: Mapping[str, tuple[int, float]] = field(default_factory=dict)


def device_memory() -> dict[str, int]:
    """Bytes of the present GPU's memory: what tensors take, what this process holds of it, and all there is."""
    free, total = torch.cuda.mem_get_info()
    allocated, reserved = torch.cuda.memory_allocated(), torch.cuda.memory_reserved()
    return {"allocated": allocated, "reserved": reserved, "used": total - free, "total": total}


class Engine:
    """Embeds and scores.

    Args:
        embedder: on ``device``.
        tile_frames: see ``SceneModel.maps``; 1 for the lowest latency live.
        on_batch: told (frames, seconds) of every batch.
        workers: parts of a batch that are scored side by side; None is as ``workers_for``.
        half: the embedder in half precision, for the cameras whose maps bear it; None is for none.
        half_whiteners: what whiteners are kept in, for the cameras whose maps bear it; None is for none.

    ``batch_of`` brings frames to the device.
    """

    def __init__(
        self,
        embedder: Embedder,
        identity: EmbeddingIdentity,
        device: torch.device,
        *,
        tile_frames: int = TILE_FRAMES,
        on_batch: OnBatch | None = None,
        workers: int | None = None,
        half: Embedder | None = None,
        half_whiteners: torch.dtype | None = None,
    ) -> None:
        self.embedder, self.identity, self.device = embedder, identity, device
        scoring = planned_for(device, embedder), None if half is None else planned_for(device, half)
        self._precision, self._last = CheckedPrecision(*scoring), LastResults()
        self.tile_frames, self._half_whiteners = tile_frames, half_whiteners
        self._on_batch = on_batch
        self._workers = Workers(workers or workers_for(device))
        self.batch_of: Upload = upload_for(device)
        self._part_frames = part_frames(embedder.dims)
        self._appearance = appearance_maps_for(device, embedder.dims, tile_frames)
        self._scenes: dict[str, SceneModel] = {}
        self._decisions = Decisions(device)
        self._grid: tuple[int, int] | None = None

    def prepared(self, camera: str, scene: WatchedScene) -> WatchedScene:
        """The scene as ``watch`` keeps it, with whiteners of 16 bits if they may be so; from any thread, raises as ``watch``.

        Who keeps a scene besides the engine keeps this one: the other's whiteners take twice the memory.
        """
        self.identity.require_same(scene.model.identity, where=f"camera {camera}")
        if not scene.model.sees_appearance:
            return scene
        self._grid = self._grid or embedded_grid(self.embedder, self.device)
        if scene.model.grid != self._grid:
            what = f"the model's grid is {scene.model.grid}, and the backbone's {self._grid}"
            raise ModelMismatch(what, where=f"camera {camera}", hint="fit the camera again")
        if self._half_whiteners is None or scene.model.require_gaussians().rounding:
            return scene
        return replace(scene, model=with_rounded_whiteners(camera, scene.model, self._half_whiteners))

    def probe(self) -> None:
        """Embed a blank picture; raises whatever the device does."""
        embedded_grid(self.embedder, self.device)

    def watch(self, camera: str, scene: WatchedScene) -> None:
        """Score ``camera`` with ``scene`` from now on, as a stream that begins.

        Raises:
            ModelMismatch: the scene was learned from other embeddings.
        """
        model = self.prepared(camera, scene).model
        self._scenes[camera] = model.to(self.device, _distance_dtype(self.embedder))
        rounding = model.gaussians_.rounding if model.gaussians_ else 0.0
        self._precision.begin(camera, rounding, sees=model.sees_appearance)
        self._last.forget(camera)
        self._decisions.begin(camera, model, rules_of(model, scene.ignored, scene.units), scene.zones)

    def measure_in(self, camera: str, units: FieldUnits | None, zones: Sequence[BoolGrid] = ()) -> None:
        """Measure a watched camera's fields in other units, None leaves them as they are, and in other zones from now on."""
        self._decisions.judge(camera, units, zones)
        self._last.forget(camera)

    @property
    def frames_for_all(self) -> int:
        """Frames of a batch that gives each worker a whole tile, or a GPU a whole part."""
        return self.tile_frames * self._workers.count if self.device.type == "cpu" else self._part_frames

    def scene_of(self, camera: str) -> SceneModel:
        """What a watched camera is scored by, on the device."""
        return self._scenes[camera]

    def unwatch(self, camera: str) -> None:
        """Forget ``camera``; its frames must not come any more."""
        self._scenes.pop(camera, None)
        self._decisions.forget(camera)
        self._precision.forget(camera)
        self._last.forget(camera)

    def score(self, frames: Sequence[Frame]) -> list[FrameScore]:
        """Score a batch, in its order; every camera in it must be watched, and its frames come in order.

        A camera's last result is that of its frames in which nothing has changed since; they cost nothing. Where a camera's
        precision is chosen within the batch, its frames from there on are another batch.

        Raises:
            Exception: whatever the device does, or a model; all streams are as before then, and the frames may come again.
        """
        scored, cameras = list[FrameScore](), {frame.camera for frame in frames}
        with self._decisions.undone_on_fault(cameras), self._precision.undone_on_fault(cameras):
            while len(scored) < len(frames):
                rest = frames[len(scored) :]
                scored += self._score(rest[: self._precision.known_until([frame.camera for frame in rest])])
        return scored

    def _score(self, frames: Sequence[Frame]) -> list[FrameScore]:
        held = [self._last.holds_for(frame) for frame in frames]
        moved, began_s = [frame for frame, holds in zip(frames, held, strict=True) if not holds], time.perf_counter()
        parts = self._parts_of(moved)
        [results] = self._workers.map(lambda _: self._decided(frames, held, moved, parts), [[]])
        if self._on_batch and moved:
            self._on_batch(len(moved), time.perf_counter() - began_s)
        return [
            self._last.of(frame) if holds else self._last.keep(next(results)) for frame, holds in zip(frames, held, strict=True)
        ]

    def _decided(
        self, frames: Sequence[Frame], held: Sequence[bool], moved: Sequence[Frame], parts: Sequence[_Part]
    ) -> Iterator[FrameScore]:
        """What the frames that moved come to; by one worker, because no part of it is worth two."""
        with torch.no_grad():
            decided = self._decisions.decide(frames, held, _in_order(parts))
            explanations = _explanations(self._scenes, moved, parts, [one.cell for one in decided])
        return map(_scored, moved, decided, explanations)

    def field_maps(self, frames: Sequence[Frame]) -> list[FieldMaps]:
        """Each frame's maps, field by field, before the causal filter and fusion."""
        return host_maps(_in_order(self._parts_of(frames)))

    def _parts_of(self, frames: Sequence[Frame]) -> list[_Part]:
        """A batch, scored side by side on a CPU's cores, and for a GPU in parts, so that it computes while the host collects.

        One camera's frames lie together, so that its Gaussians are read seldom.
        """
        if not frames:
            return []
        together = [row for rows in _rows_by_camera(frames).values() for row in rows]
        work = partial(self._part, frames, self._precision.numbers([frame.camera for frame in frames]))
        on_gpu = [together[at : at + self._part_frames] for at in range(0, len(together), self._part_frames)]
        on_cpu = self._workers.split(together, multiple=self.tile_frames)
        parts = self._workers.map(work, on_cpu if self.device.type == "cpu" else on_gpu)
        for part in parts:
            for camera, (count, error) in part.errors.items():
                self._precision.record(camera, count, error)
        return parts

    def _part(self, frames: Sequence[Frame], numbers: Sequence[int], rows: list[int]) -> _Part:
        own = [frames[row] for row in rows]
        with torch.no_grad():
            return _Part(rows, *self._grids(self.batch_of(own), _rows_by_camera(own), [numbers[row] for row in rows]))

    def _grids(
        self, batch: FrameBatch, rows_of: Mapping[str, list[int]], numbers: Sequence[int]
    ) -> tuple[Tensor, Tensor | None, dict[str, tuple[int, float]]]:
        """(2, N, h, w) float32 appearance and motion maps, NaN where a field says nothing; and the rest of a ``_Part``."""
        seeing = {camera: rows for camera, rows in rows_of.items() if self._scenes[camera].sees_appearance}
        embeddings, errors = self._precision.embed(batch.pixels, seeing, numbers), dict[str, tuple[int, float]]()
        grids = torch.full((2, *batch.speed.shape), torch.nan, device=self.device)
        if embeddings.chosen is not None:
            grids[0] = self._appearance(self._scenes, embeddings.chosen, seeing)
        if embeddings.half is not None:
            of_camera, checked = embeddings.checked
            half = self._appearance(self._scenes, embeddings.half, of_camera)
            found = map_errors(half, grids[0, sent(np.array(checked), self.device)])
            errors = {camera: (len(own), max(found[number] for number in own)) for camera, own in of_camera.items()}
        grids[1] = motion_maps(self._scenes, batch.speed, rows_of)
        return grids, embeddings.chosen, errors


def _explanations(
    scenes: Mapping[str, SceneModel], frames: Sequence[Frame], parts: Sequence[_Part], cells: Sequence[int]
) -> list[Explain]:
    """What computes which layers speak at each frame's strongest cell, from its embedding there.

    It does not keep the model: who asks does so while the camera is watched by it.
    """
    explanations: list[Explain] = [tuple] * len(frames)
    for part in parts:
        if part.embeddings is None:
            continue
        at = np.array([range(len(part.rows)), [cells[row] for row in part.rows]])
        strongest = part.embeddings.flatten(1, 2)[*sent(at, part.embeddings.device)]
        for number, row in enumerate(part.rows):
            scene = scenes[frames[row].camera]
            if scene.sees_appearance:
                explanations[row] = partial(_layers_at, weakref.ref(scene), strongest, number, cells[row])
    return explanations


def _layers_at(known: weakref.ref[SceneModel], x: Tensor, number: int, cell: int) -> tuple[LayerShare, ...]:
    """Nothing if the model is gone, or the device fails: an event without its layers is an event."""
    scene = known()
    if scene is None:
        return ()
    try:
        with torch.no_grad():
            return scene.explain(x[number : number + 1], [cell])[0]
    except RuntimeError as error:
        log.warning("an event's layers cannot be explained: %s", error)
        return ()


def _distance_dtype(embedder: Embedder) -> torch.dtype:
    return torch.float64 if embedder.dtype == torch.float64 else torch.float32


def _scored(frame: Frame, decided: Decision, explain: Explain) -> FrameScore:
    return FrameScore(frame, decided.level, decided.maps, decided.spread, decided.highest, explain, levels=decided.levels)


def _in_order(parts: Sequence[_Part]) -> Tensor:
    """(2, N, h, w) maps of all parts, in the order of the batch."""
    if not parts:
        return torch.empty((2, 0, SPEED_GRID, SPEED_GRID))
    grids = parts[0].grids if len(parts) == 1 else torch.cat([part.grids for part in parts], dim=1)
    rows = [row for part in parts for row in part.rows]
    if rows == sorted(rows):
        return grids
    return grids[:, sent(np.argsort(rows), grids.device)]


def _rows_by_camera(frames: Sequence[Frame]) -> Mapping[str, list[int]]:
    rows: dict[str, list[int]] = {}
    for row, frame in enumerate(frames):
        rows.setdefault(frame.camera, []).append(row)
    return rows


def embedded_grid(embedder: Embedder, device: torch.device) -> tuple[int, int]:
    """(height, width) of what a blank picture embeds to; raises whatever the device does."""
    with torch.no_grad():
        embedded = embedder(torch.zeros((1, INPUT_SIZE_PX, INPUT_SIZE_PX, 3), dtype=torch.uint8, device=device))
        float(embedded.sum())  # waits for the device
        return int(embedded.shape[1]), int(embedded.shape[2])
