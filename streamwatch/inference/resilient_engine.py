"""An engine that survives its device: halves the batch, then begins anew, then gives up for the service manager."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

import torch

from streamwatch.errors import EngineFailure
from streamwatch.inference.engine import WatchedScene
from streamwatch.model.scoring.levels import FieldUnits
from streamwatch.records import BoolGrid, Frame
from streamwatch.retry import caught
from streamwatch.scores import FrameScore

log = logging.getLogger(__name__)
MAX_BATCH_FRAMES = 16
MAX_BATCH_FRAMES_OF_GPU = 256
"""Where throughput saturates: two cores of a CPU at 16 frames, an H100 at 256 to 512."""
DEVICE_FAULTS = (torch.OutOfMemoryError, RuntimeError)
"""CUDA errors arrive as RuntimeError, whatever they are."""


def max_batch_frames(device: str) -> int:
    """Frames of a batch at most, on a device of this type."""
    return MAX_BATCH_FRAMES_OF_GPU if device.startswith("cuda") else MAX_BATCH_FRAMES


class ScoringEngine(Protocol):
    """What is asked of an engine here; see ``inference.engine.Engine``."""

    def prepared(self, camera: str, scene: WatchedScene) -> WatchedScene:
        """The scene as it is best kept; raises as ``watch``, from any thread."""
        ...

    def watch(self, camera: str, scene: WatchedScene) -> None:
        """Score ``camera`` with ``scene`` from now on."""
        ...

    def measure_in(self, camera: str, units: FieldUnits | None, zones: Sequence[BoolGrid] = ()) -> None:
        """Measure a watched camera's fields in other units, and in other zones, from its next frame on."""
        ...

    def unwatch(self, camera: str) -> None:
        """Forget ``camera``."""
        ...

    def score(self, frames: Sequence[Frame]) -> list[FrameScore]:
        """Score a batch, in its order."""
        ...

    def probe(self) -> None:
        """Embed a blank picture; raises whatever the device does."""
        ...


class IsolatingEngine(ScoringEngine, Protocol):
    """One that tells a camera's fault from the device's; see ``ResilientEngine``."""

    def score_apart(self, frames: Sequence[Frame]) -> tuple[list[FrameScore], dict[str, Exception]]:
        """Score a batch; what is one camera's fault, by camera."""
        ...


class ResilientEngine:
    """Scores through an engine that it can make again.

    Args:
        make_engine: a new engine on the device; raises as ``build_engine``.
    """

    def __init__(self, make_engine: Callable[[], ScoringEngine], *, batch_frames: int = MAX_BATCH_FRAMES) -> None:
        self._make_engine = make_engine
        self._engine = make_engine()
        self._scenes: dict[str, WatchedScene] = {}
        self.batch_frames = batch_frames

    def prepared(self, camera: str, scene: WatchedScene) -> WatchedScene:
        """The scene as it is best kept; raises as ``watch``."""
        return self._engine.prepared(camera, scene)

    def watch(self, camera: str, scene: WatchedScene) -> None:
        """Score ``camera`` with ``scene`` from now on.

        Raises:
            ModelMismatch: the scene was learned from other embeddings; the one before stays.
        """
        while True:
            engine = self._engine
            scene = engine.prepared(camera, scene)
            engine.watch(camera, scene)
            self._scenes[camera] = scene
            if engine is self._engine:  # else it was made again meanwhile, perhaps without this scene
                return

    def measure_in(self, camera: str, units: FieldUnits | None, zones: Sequence[BoolGrid] = ()) -> None:
        """As ``Engine.measure_in``, also by an engine that is made again."""
        if camera in self._scenes:
            before = self._scenes[camera]
            self._scenes[camera] = replace(before, units=units or before.units, zones=tuple(zones))
            self._engine.measure_in(camera, units, zones)

    def unwatch(self, camera: str) -> None:
        """Forget ``camera``."""
        self._engine.unwatch(camera)
        self._scenes.pop(camera, None)

    def score(self, frames: Sequence[Frame]) -> list[FrameScore]:
        """Score a batch, in its order.

        Raises:
            EngineFailure: the device fails on a single frame, and on a new engine too.
        """
        engine, scored = self._engine, list[FrameScore]()
        try:
            self._score_into(scored, engine, frames)
        except DEVICE_FAULTS as error:
            self._halve(scored, engine, frames, error)
        return scored

    def score_apart(self, frames: Sequence[Frame]) -> tuple[list[FrameScore], dict[str, Exception]]:
        """Score a batch; what is one camera's fault and not the device's, by camera, while the others are scored.

        A device that still embeds a blank picture is well: then what fails is the camera's own model or stream, and no new
        engine is made, which would begin every camera's stream anew.

        Raises:
            EngineFailure: as ``score``.
        """
        engine, scored = self._engine, list[FrameScore]()
        failure = caught(partial(self._score_into, scored, engine, frames))
        if failure is None:
            return scored, {}
        self._require_current(engine, failure)
        _let_go(failure)
        rest = frames[len(scored) :]
        if isinstance(failure, torch.OutOfMemoryError) or caught(engine.probe) is not None:
            return scored + self.score(rest), {}
        by_camera: dict[str, list[Frame]] = {}
        for frame in rest:
            by_camera.setdefault(frame.camera, []).append(frame)
        if len(by_camera) == 1:
            return scored, dict.fromkeys(by_camera, failure)
        faults = {camera: caught(partial(_extend, scored, engine, own)) for camera, own in by_camera.items()}
        return scored, {camera: fault for camera, fault in faults.items() if fault is not None}

    def probe(self) -> None:
        """Whether the device works, as ``Engine.probe``."""
        self._engine.probe()

    def rebuild(self) -> None:
        """Make a new engine and give it every scene.

        Raises:
            EngineFailure: the device does not come back.
        """
        try:
            engine = self._make_engine()
            for camera, scene in self._scenes.items():
                engine.watch(camera, scene)
        except DEVICE_FAULTS as error:
            raise EngineFailure(f"the device does not come back ({_first_line(error)})", hint="see the log") from error
        self._engine = engine

    def _score_into(self, scored: list[FrameScore], engine: ScoringEngine, frames: Sequence[Frame]) -> None:
        """Go on with the frames that are not scored yet; what is done stays so whatever fails after it."""
        for at in range(len(scored), len(frames), self.batch_frames):
            scored += engine.score(frames[at : at + self.batch_frames])

    def _require_current(self, engine: ScoringEngine, error: Exception) -> None:
        """A thread that was replaced while it hung, and its engine with it, touches neither engine nor batch."""
        if self._engine is not engine:
            raise EngineFailure("another engine has taken this one's place") from error

    def _halve(self, scored: list[FrameScore], engine: ScoringEngine, frames: Sequence[Frame], error: Exception) -> None:
        """Halve the batch until it works; at a single frame begin anew.

        What fails then, too, is these frames' fault or the device's, and no reason for small batches.
        """
        self._require_current(engine, error)
        before = self.batch_frames
        while self.batch_frames > 1:
            self.batch_frames //= 2
            log.error("the device failed (%s); going on with batches of %d", _first_line(error), self.batch_frames)
            _let_go(error)
            try:
                return self._score_into(scored, engine, frames)
            except DEVICE_FAULTS as again:
                self._require_current(engine, again)
                error = again
        log.error("the device failed on a single frame (%s); beginning anew", _first_line(error))
        _let_go(error)
        self.rebuild()
        try:
            return self._score_into(scored, self._engine, frames)
        except DEVICE_FAULTS as again:
            self.batch_frames = before
            hint = "see the log; the service manager should start streamwatch again"
            raise EngineFailure(f"scoring fails on a new engine too ({_first_line(again)})", hint=hint) from again


def _extend(scored: list[FrameScore], engine: ScoringEngine, frames: Sequence[Frame]) -> None:
    scored.extend(engine.score(frames))


def _let_go(error: Exception) -> None:
    """Give up what a failed batch left on the device: its traceback keeps the tensors of every call that it went through."""
    traceback.clear_frames(error.__traceback__)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
