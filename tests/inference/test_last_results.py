"""A frame in which nothing has changed has the camera's last result, and the filter goes on from there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from streamwatch.inference.engine import Engine, WatchedScene
from streamwatch.model.embedding.identity import build_embedder
from streamwatch.model.fitting import fit
from streamwatch.model.scene import SceneModel
from streamwatch.model.scoring.levels import FieldUnits
from streamwatch.records import Frame
from streamwatch.scores import FrameScore
from tests.conftest import UNTRAINED, batch_of, inputs, read


@pytest.fixture(scope="module")
def frames(video: Path) -> list[Frame]:
    return [replace(frame, still=False) for frame in read(video)]


@pytest.fixture
def engine(frames: list[Frame], device: torch.device) -> Engine:
    embedder, identity = build_embedder(UNTRAINED, device=device)
    scene = fit(SceneModel(identity), embedder, [batch_of(inputs(frames[:40]).to(device))])
    built = Engine(embedder, identity, device, workers=2 if device.type == "cpu" else None)
    built.watch("cam", WatchedScene(scene))
    return built


def check_same(held: FrameScore, last: FrameScore) -> None:
    assert (held.score, held.level, held.layers) == (last.score, last.level, last.layers)
    assert held.maps().causal_score == last.maps().causal_score
    assert held.level_grid is last.level_grid
    assert held.reused
    assert not last.reused


def test_a_still_frame_has_the_last_result_as_its_own(engine: Engine, frames: list[Frame]) -> None:
    (last,) = engine.score(frames[40:41])
    speed = np.ones((64, 64), np.float32)
    (held,) = engine.score([replace(frames[41], still=True, speed=None)])
    check_same(held, last)
    assert held.frame.index == 41
    assert held.frame.time_s == frames[41].time_s
    (last,) = engine.score([replace(frames[42], speed=speed)])
    (held,) = engine.score([replace(frames[43], still=True)])
    assert held.frame.speed is speed


def test_in_one_batch_results_follow_the_frames_order(engine: Engine, frames: list[Frame]) -> None:
    engine.score(frames[40:41])
    batch = [replace(frames[41], still=True), frames[42], replace(frames[43], still=True), frames[44]]
    scored = engine.score(batch)
    assert [one.frame.index for one in scored] == [41, 42, 43, 44]
    assert [one.reused for one in scored] == [True, False, True, False]
    check_same(scored[2], scored[1])
    assert scored[0].score != scored[1].score


def test_the_filter_goes_on_as_if_the_last_map_had_been_seen_until_now(engine: Engine, frames: list[Frame]) -> None:
    """After two seconds of nothing the next frame weighs what it weighs after a tenth."""

    def next_after(still: bool) -> FrameScore:
        engine.watch("cam", WatchedScene(engine.scene_of("cam")))
        engine.score(frames[40:41])
        if still:
            engine.score([replace(frames[41], still=True, time_s=frames[40].time_s + 1.9)])
        shift_s = 1.9 if still else 0.0
        return engine.score([replace(frames[50], time_s=frames[40].time_s + 0.1 + shift_s)])[0]

    np.testing.assert_allclose(next_after(True).level_grid, next_after(False).level_grid, rtol=1e-5)


def test_nothing_holds_over_a_cut_another_model_or_other_units(engine: Engine, frames: list[Frame]) -> None:
    def reused(segment: int = 0) -> bool:
        return engine.score([replace(frames[41], still=True, segment=segment)])[0].reused

    engine.score(frames[40:41])
    assert reused()
    assert not reused(segment=1)
    engine.score(frames[40:41])
    engine.measure_in("cam", FieldUnits(2.0, 2.0))
    assert not reused()
    engine.score(frames[40:41])
    engine.watch("cam", WatchedScene(engine.scene_of("cam")))
    assert not reused()


def test_of_a_camera_that_is_not_gated_nothing_is_kept(engine: Engine, frames: list[Frame]) -> None:
    engine.score([replace(frames[40], still=None)])
    assert not engine.score([replace(frames[41], still=True)])[0].reused
