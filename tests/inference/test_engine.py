"""The engine scores the same whatever a batch holds and however it is parted."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from streamwatch.inference.engine import Engine, WatchedScene
from streamwatch.inference.factory import build_engine
from streamwatch.model.embedding.identity import BackboneSpec
from streamwatch.model.normality.gaussian import fit_gaussians, mahalanobis
from streamwatch.model.normality.moments import Moments
from streamwatch.model.scene import SceneModel
from streamwatch.records import Frame, LayerShare

MAP_TOLERANCE = 1e-4
"""Of float32: relative, between a frame alone and in a batch that is parted otherwise."""


@pytest.fixture(scope="module")
def built() -> Engine:
    return build_engine(BackboneSpec(weights="untrained", dims=10), device="cpu", precision="float32", workers=1)


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    rng = np.random.default_rng(0)
    place = rng.integers(40, 200, (1, 256, 256, 3))
    return np.clip(place + rng.normal(0, 6, (12, 256, 256, 3)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def model(built: Engine, pictures: np.ndarray) -> SceneModel:
    scene = SceneModel(built.identity)
    with torch.no_grad():
        scene.moments_ = Moments.starting_with(built.embedder(torch.from_numpy(pictures[:6])).flatten(1, 2))
    scene.gaussians_ = fit_gaussians(scene.moments_)
    return scene


def frames_of(pictures: np.ndarray, cameras: str) -> list[Frame]:
    return [Frame(name, n, 0.2 * n, 0.0, 0.0, pictures[n]) for n, name in enumerate(cameras)]


def scores(built: Engine, model: SceneModel, frames: list[Frame], workers: int) -> list[tuple[str, int, float, int]]:
    engine = Engine(built.embedder, built.identity, built.device, tile_frames=1, workers=workers)
    for camera in {frame.camera for frame in frames}:
        engine.watch(camera, WatchedScene(model))
    return [(s.frame.camera, s.frame.index, s.score, len(s.layers)) for s in engine.score(frames)]


@pytest.mark.parametrize("cameras", ["aaaaaa", "abcabc", "abbbbb", "a"])
def test_workers_change_neither_order_nor_scores(built: Engine, model: SceneModel, pictures: np.ndarray, cameras: str) -> None:
    frames = frames_of(pictures[6:], cameras)
    alone, parted = (scores(built, model, frames, workers) for workers in (1, 3))
    assert [row[:2] for row in parted] == [(frame.camera, frame.index) for frame in frames]
    assert [row[2] for row in parted] == pytest.approx([row[2] for row in alone], rel=MAP_TOLERANCE)
    assert all(row[3] == 3 for row in parted)


def test_layers_are_explained_when_they_are_asked_for_and_by_the_model_that_scored(
    built: Engine, model: SceneModel, pictures: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, explained = Engine(built.embedder, built.identity, built.device, workers=2), list[int]()
    for camera in "ab":
        engine.watch(camera, WatchedScene(model))
    explain = SceneModel.explain

    def spy(scene: SceneModel, x: torch.Tensor, cells: list[int]) -> list[tuple[LayerShare, ...]]:
        explained.extend(cells)
        return explain(scene, x, cells)

    monkeypatch.setattr(SceneModel, "explain", spy)
    scored = engine.score(frames_of(pictures[6:], "abba"))
    assert not explained, "a frame that is no peak of an event costs nothing"
    engine.unwatch("a")
    for one, picture in zip(scored, pictures[6:], strict=False):
        with torch.no_grad():
            embedded = built.embedder(torch.from_numpy(picture[None]).to(built.device)).flatten(1, 2)
            distances = mahalanobis(model.require_gaussians(), embedded)[0]
        whole = sum(layer.squared for layer in one.layers)
        if one.frame.camera == "a":
            assert whole == 0, "nobody watches it any more, and its model takes no memory"
        else:
            assert explained[-1] == int(one.level_grid.argmax())
            assert whole == pytest.approx(float(distances[explained[-1]]) ** 2, rel=MAP_TOLERANCE)
    assert len(explained) == 2


def test_a_device_that_fails_to_explain_costs_the_layers_alone(
    built: Engine, model: SceneModel, pictures: np.ndarray, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise torch.OutOfMemoryError("of the device")

    engine = Engine(built.embedder, built.identity, built.device)
    engine.watch("a", WatchedScene(model))
    monkeypatch.setattr(SceneModel, "explain", refuse)
    assert engine.score(frames_of(pictures[6:], "a"))[0].layers == ()
    assert "an event's layers cannot be explained: of the device" in caplog.text


def test_an_empty_batch_is_scored_at_once(built: Engine, model: SceneModel) -> None:
    assert scores(built, model, [], 2) == []
