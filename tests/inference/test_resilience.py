"""A device that fails: smaller batches, a new engine, then an exit; and loops that hang."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Sequence
from typing import cast

import numpy as np
import pytest
import torch

from streamwatch.daemon.process.watchdog import Watchdog, all_stacks
from streamwatch.detection.loop import LOOP, PipelineLoop
from streamwatch.errors import EngineFailure
from streamwatch.health import Health
from streamwatch.inference.engine import WatchedScene
from streamwatch.inference.resilient_engine import ResilientEngine
from streamwatch.model.scoring.levels import FieldUnits
from streamwatch.records import BoolGrid, Frame
from streamwatch.scores import FrameScore
from tests.test_retry import FakeClock

SCENE = cast("WatchedScene", object())
WITHIN_S = 20.0


class FakeEngine:
    """Fails on batches larger than it can hold."""

    def __init__(self, holds: int, error: Exception | None = None) -> None:
        self.holds, self.error = holds, error or torch.OutOfMemoryError("CUDA out of memory")
        self.watched: list[str] = []
        self.batches: list[int] = []

    def prepared(self, camera: str, scene: WatchedScene) -> WatchedScene:
        """Takes any."""
        return scene

    def watch(self, camera: str, scene: WatchedScene) -> None:
        self.watched.append(camera)

    def measure_in(self, camera: str, units: FieldUnits | None, zones: Sequence[BoolGrid] = ()) -> None:
        """Has no units."""

    def unwatch(self, camera: str) -> None:
        self.watched.remove(camera)

    def probe(self) -> None:
        """It works."""

    def score(self, frames: Sequence[Frame]) -> list[FrameScore]:
        self.batches.append(len(frames))
        if len(frames) > self.holds:
            raise self.error
        return cast("list[FrameScore]", list(frames))


def frames(count: int) -> list[Frame]:
    return cast("list[Frame]", list(range(count)))


def numbers(resilient: ResilientEngine, count: int) -> list[object]:
    """What comes back for ``count`` frames: the fake engine hands them through."""
    return list(resilient.score(frames(count)))


def test_batches_are_halved_until_they_fit_and_stay_so() -> None:
    engine = FakeEngine(holds=3)
    resilient = ResilientEngine(lambda: engine)
    assert numbers(resilient, 16) == list(range(16))
    assert resilient.batch_frames == 2
    assert engine.batches[:3] == [16, 8, 4]
    assert numbers(resilient, 5) == list(range(5))


def test_parts_that_were_scored_before_one_fails_are_not_scored_again() -> None:
    class FailsOnce(FakeEngine):
        """At its second part, whatever it holds."""

        def score(self, frames: Sequence[Frame]) -> list[FrameScore]:
            self.batches.append(len(frames))
            if len(self.batches) == 2:
                raise RuntimeError("CUDA error: of this part")
            return cast("list[FrameScore]", list(frames))

    engine = FailsOnce(16)
    resilient = ResilientEngine(lambda: engine, batch_frames=4)
    assert numbers(resilient, 12) == list(range(12))
    assert engine.batches == [4, 4, 2, 2, 2, 2], "the first stays, of the rest each is smaller"


def test_what_a_failed_batch_holds_is_given_up_before_the_next_try() -> None:
    class Holding(FakeEngine):
        """Holds something of each try."""

        def score(self, frames: Sequence[Frame]) -> list[FrameScore]:
            held = np.zeros(3)
            tries.append((weakref.ref(held), [ref() is not None for ref, _ in tries]))
            if len(tries) < 4:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return cast("list[FrameScore]", list(frames))

        def probe(self) -> None:
            """It is well."""

    tries: list[tuple[weakref.ref[np.ndarray], list[bool]]] = []
    engine = Holding(16)
    pictures = [Frame("cam", n, 0.0, 0.0, 0.0, np.zeros((256, 256, 3), np.uint8)) for n in range(16)]
    ResilientEngine(lambda: engine).score_apart(pictures)
    assert len(tries) == 3 + 4
    assert not any(still for _, each in tries for still in each)


def test_a_device_that_fails_on_one_frame_gets_a_new_engine_with_every_scene() -> None:
    engines = [FakeEngine(0, RuntimeError("CUDA error: device-side assert triggered")), FakeEngine(16)]
    made = iter(engines)
    resilient = ResilientEngine(lambda: next(made))
    resilient.watch("a", SCENE)
    resilient.watch("b", SCENE)
    resilient.unwatch("b")
    assert numbers(resilient, 4) == list(range(4))
    assert engines[1].watched == ["a"]


def test_a_thread_that_hung_touches_neither_the_new_engine_nor_the_size_of_its_batches() -> None:
    class Replaced(FakeEngine):
        """While it scores, the watchdog makes another engine; then it fails."""

        def score(self, frames: Sequence[Frame]) -> list[FrameScore]:
            resilient.rebuild()
            raise RuntimeError("CUDA error: launch timed out")

    old, new = Replaced(16), FakeEngine(16)
    made = iter([old, new])
    resilient = ResilientEngine(lambda: next(made))
    with pytest.raises(EngineFailure, match="another engine"):
        resilient.score(frames(16))
    assert new.batches == []
    assert resilient.batch_frames == 16


def test_a_device_that_does_not_come_back_ends_the_daemon() -> None:
    resilient = ResilientEngine(lambda: FakeEngine(0))
    with pytest.raises(EngineFailure, match="new engine too"):
        resilient.score(frames(2))
    assert EngineFailure("x").exit_code == 1


class HangingPipeline:
    """The first round hangs until it is let go; others pass."""

    def __init__(self) -> None:
        self.let_go, self.rounds, self.late = threading.Event(), 0, 0

    def run_once(self, alive: object) -> int:
        self.rounds += 1
        if self.rounds == 1:
            self.let_go.wait(WITHIN_S)
            self.late += 0 if callable(alive) and alive() else 1
        return 1


def test_a_hanging_loop_is_replaced_and_its_late_result_goes_nowhere() -> None:
    clock = FakeClock()
    health, pipeline, recovered = Health(clock), HangingPipeline(), threading.Event()
    seen = threading.Event()
    loop = PipelineLoop(pipeline, health, clock=clock, on_iteration=lambda _: seen.set(), recover=recovered.set)
    watchdog = Watchdog(health, lambda _: loop.replace_thread())
    loop.start()
    assert watchdog.check() == []
    clock.now_s = 31
    assert watchdog.check() == [LOOP]
    assert recovered.is_set()
    assert seen.wait(WITHIN_S)
    pipeline.let_go.set()
    assert loop.stop(WITHIN_S)
    assert loop.failure is None


def test_a_loop_that_hangs_again_is_a_failure() -> None:
    loop = PipelineLoop(
        HangingPipeline(), Health(FakeClock()), clock=FakeClock(), on_iteration=lambda _: None, recover=lambda: None
    )
    loop.start()
    loop.replace_thread()
    loop.replace_thread()
    assert isinstance(loop.failure, EngineFailure)
    assert loop.ended.is_set()


def test_a_defect_in_the_loop_is_raised_by_who_waits_for_it() -> None:
    class Broken:
        def run_once(self, alive: object) -> int:
            raise KeyError("defect")

    loop = PipelineLoop(Broken(), Health(FakeClock()), clock=FakeClock(), on_iteration=lambda _: None, recover=lambda: None)
    loop.start()
    assert loop.ended.wait(WITHIN_S)
    assert isinstance(loop.failure, KeyError)


def test_the_watchdog_writes_every_stack(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    health = Health(clock)
    health.beat("camera a", within_s=50)
    restarted: list[str] = []
    watchdog = Watchdog(health, restarted.append)
    clock.now_s = 49
    assert watchdog.check() == []
    clock.now_s = 51
    with caplog.at_level(logging.ERROR):
        watchdog.check()
    assert restarted == ["camera a"]
    assert "test_the_watchdog_writes_every_stack" in caplog.text
    assert "MainThread" in all_stacks()
    assert watchdog.check() == [], "what was restarted is not overdue"
