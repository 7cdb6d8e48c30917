"""``precision: auto``: half precision for a camera whose own maps bear it, and float32 for every other."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from streamwatch.inference import factory, precision
from streamwatch.inference.engine import Engine, WatchedScene
from streamwatch.inference.factory import build_engine
from streamwatch.inference.precision import (
    CHECKED_FRAMES,
    HALF_FROM_FRAME,
    CheckedPrecision,
    half_precision,
    map_error,
    whitener_error,
    with_rounded_whiteners,
)
from streamwatch.model.embedding.embedder import Embedder
from streamwatch.model.embedding.identity import EmbeddingIdentity
from streamwatch.model.fitting import fit
from streamwatch.model.scene import SceneModel
from streamwatch.records import Frame
from tests.conftest import UNTRAINED, batch_of, inputs, read


class Off(Embedder):
    """The embedder with every embedding a little larger: a half precision whose error is known."""

    def __init__(self, embedder: Embedder, factor: float) -> None:
        super().__init__(embedder.backbone, embedder.indices)
        self.factor, self.calls = factor, 0

    def forward(self, pixels: Tensor) -> Tensor:
        """Embed, and count."""
        self.calls += len(pixels)
        return super().forward(pixels) * self.factor


@pytest.fixture(scope="module")
def frames(video: Path) -> list[Frame]:
    return read(video)


@pytest.fixture(scope="module")
def scene(frames: list[Frame], untrained: tuple[Embedder, EmbeddingIdentity]) -> SceneModel:
    return fit(SceneModel(untrained[1]), untrained[0], [batch_of(inputs(frames[:40]))])


def engine_of(untrained: tuple[Embedder, EmbeddingIdentity], half: Embedder | None) -> Engine:
    return Engine(*untrained, torch.device("cpu"), half=half, workers=2)


def scores(engine: Engine, scene: SceneModel, frames: list[Frame]) -> list[float]:
    engine.watch("cam", WatchedScene(scene))
    return [scored.score for at in range(0, len(frames), 4) for scored in engine.score(frames[at : at + 4])]


def test_a_camera_whose_maps_bear_it_is_scored_in_half_precision_after_its_first_frames(
    frames: list[Frame], scene: SceneModel, untrained: tuple[Embedder, EmbeddingIdentity], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    full = scores(engine_of(untrained, None), scene, frames[20:70])
    half = Off(untrained[0], 1.0 + 1e-6)
    found = scores(engine_of(untrained, half), scene, frames[20:70])
    assert found[:HALF_FROM_FRAME] == full[:HALF_FROM_FRAME]
    assert all(a != b for a, b in zip(found[HALF_FROM_FRAME:], full[HALF_FROM_FRAME:], strict=True)), "the other speaks"
    np.testing.assert_allclose(found, full, rtol=precision.MAP_ERROR_AT_MOST)
    assert half.calls == CHECKED_FRAMES + 50 - HALF_FROM_FRAME
    assert "camera cam: scored in float32, which changes its map by up to 0.0%" in caplog.text


def test_a_camera_whose_maps_do_not_bear_it_stays_in_float32_and_says_so(
    frames: list[Frame], scene: SceneModel, untrained: tuple[Embedder, EmbeddingIdentity], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    half = Off(untrained[0], 1.3)
    assert scores(engine_of(untrained, half), scene, frames[20:70]) == scores(engine_of(untrained, None), scene, frames[20:70])
    assert half.calls == CHECKED_FRAMES, "and is asked no more"
    assert "and 1% is allowed" in caplog.text


def test_cameras_of_one_batch_keep_their_own_precision(
    frames: list[Frame], scene: SceneModel, untrained: tuple[Embedder, EmbeddingIdentity]
) -> None:
    """One is through its check while another, with a new model, is at its beginning."""
    half = Off(untrained[0], 1.0 + 1e-6)
    engine = engine_of(untrained, half)
    old = [replace(frame, camera="old") for frame in frames[:60]]
    new = [replace(frame, camera="new") for frame in frames[:60]]
    engine.watch("old", WatchedScene(scene))
    for at in range(0, HALF_FROM_FRAME, 4):
        engine.score(old[at : at + 4])
    engine.watch("new", WatchedScene(scene))
    mixed = engine.score([old[40], new[40], old[41], new[41]])
    alone = engine_of(untrained, None)
    alone.watch("new", WatchedScene(scene))
    assert [one.grid.tolist() for one in mixed[1::2]] == [one.grid.tolist() for one in alone.score(new[40:42])]
    assert mixed[0].grid.tolist() != mixed[1].grid.tolist()
    np.testing.assert_allclose(mixed[0].grid, mixed[1].grid, rtol=precision.MAP_ERROR_AT_MOST)


def test_the_map_error_is_a_share_of_the_highest_value_and_infinite_without_one() -> None:
    full = torch.tensor([[[1.0, 4.0]], [[2.0, 8.0]]])
    assert map_error(full + torch.tensor([[[0.1, 0.0]], [[0.0, 0.4]]]), full) == pytest.approx(0.05)
    assert map_error(torch.full_like(full, torch.nan), full) == float("inf")
    assert map_error(torch.full_like(full, torch.inf), full) == float("inf")
    assert map_error(torch.zeros_like(full), torch.zeros_like(full)) == 0.0


def test_a_new_model_is_checked_anew(untrained: tuple[Embedder, EmbeddingIdentity], frames: list[Frame]) -> None:
    checked = CheckedPrecision(untrained[0], untrained[0])
    pixels = inputs(frames[:1])
    checked.begin("cam")
    for _ in range(CHECKED_FRAMES):
        assert checked.embed(pixels, {"cam": [0]}, checked.numbers(["cam"])).checked == ({"cam": [0]}, [0])
    assert checked.embed(pixels, {"cam": [0]}, checked.numbers(["cam"])).half is None
    checked.begin("cam")
    assert checked.embed(pixels, {"cam": [0]}, checked.numbers(["cam"])).half is not None


def test_all_cameras_that_are_checked_are_embedded_at_once(
    untrained: tuple[Embedder, EmbeddingIdentity], frames: list[Frame]
) -> None:
    half = Off(untrained[0], 1.001)
    checked, pixels, rows_of = CheckedPrecision(untrained[0], half), inputs(frames[:4]), {"a": [0, 2], "b": [3], "c": [1]}
    for camera in "abc":
        checked.begin(camera)
    embedded = checked.embed(pixels, rows_of, [0, CHECKED_FRAMES, 1, 0])
    assert half.calls == 3, "of c it is known already"
    assert embedded.checked == ({"a": [0, 1], "b": [2]}, [0, 2, 3])
    assert embedded.half is not None
    assert embedded.chosen is not None
    assert torch.allclose(embedded.half, 1.001 * embedded.chosen[[0, 2, 3]])


@pytest.mark.parametrize("batch", [7, 16, 24])
def test_no_score_follows_from_its_batch(
    frames: list[Frame], scene: SceneModel, untrained: tuple[Embedder, EmbeddingIdentity], batch: int
) -> None:
    found = []
    for size in (1, batch):
        engine = engine_of(untrained, Off(untrained[0], 1.001))
        engine.watch("cam", WatchedScene(scene))
        parts = (frames[:48][at : at + size] for at in range(0, 48, size))
        found.append([scored.score for part in parts for scored in engine.score(part)])
    np.testing.assert_allclose(found[1], found[0], rtol=1e-5)


def test_whatever_auto_chooses_no_score_is_far_from_float32s(
    frames: list[Frame], scene: SceneModel, device: torch.device, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    engines = (build_engine(UNTRAINED, device=device.type, precision=name) for name in ("float32", "auto"))
    full, auto = (scores(engine, scene, frames[20:70]) for engine in engines)
    np.testing.assert_allclose(auto, full, rtol=2 * precision.MAP_ERROR_AT_MOST)
    assert ("camera cam: scored in" in caplog.text) == (half_precision(device) is not None)


@pytest.mark.parametrize(
    ("capabilities", "expected"), [({"avx512_bf16": True}, "bf16"), ({"avx512_f": True}, None), ({}, None)]
)
def test_half_precision_is_what_the_processor_computes(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], expected: str | None
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert half_precision(torch.device("cpu")) == expected


@pytest.mark.parametrize(("asked", "checked"), [("auto", True), ("float32", False), ("bf16", False)])
def test_only_auto_chooses(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    frames: list[Frame],
    scene: SceneModel,
    asked: str,
    checked: bool,
) -> None:
    """With bf16 said to be native, which it need not be to be computed."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(factory, "half_precision", lambda _: "bf16")
    engine = build_engine(UNTRAINED, device="cpu", precision=asked)
    scores(engine, scene, frames[40 : 40 + CHECKED_FRAMES])
    assert ("scored in" in caplog.text) == checked
    assert engine.embedder.dtype == (torch.bfloat16 if asked == "bf16" else torch.float32), "what is learned with"


@pytest.mark.parametrize(("asked", "kept"), [("auto", torch.bfloat16), ("bf16", torch.bfloat16), ("float32", torch.float32)])
def test_whiteners_have_16_bits_where_nobody_asked_for_32(
    monkeypatch: pytest.MonkeyPatch, frames: list[Frame], scene: SceneModel, asked: str, kept: torch.dtype
) -> None:
    monkeypatch.setattr(factory, "half_precision", lambda _: "bf16")
    engine = build_engine(UNTRAINED, device="cpu", precision=asked)
    engine.watch("cam", WatchedScene(scene))
    prepared = engine.prepared("other", WatchedScene(scene))
    engine.watch("other", prepared)
    assert engine.prepared("other", prepared) is prepared, "once, whoever asks"
    field, same = (engine.scene_of(name).require_gaussians() for name in ("cam", "other"))
    assert {block.dtype for block in field.blocks} == {kept}
    assert same.blocks[0].data_ptr() == prepared.model.require_gaussians().blocks[0].data_ptr(), "and held once"
    assert field.mean.dtype == torch.float32, "the mean is taken off in full precision"


def test_what_drawn_pictures_say_of_whiteners_holds_for_real_ones(
    frames: list[Frame], scene: SceneModel, untrained: tuple[Embedder, EmbeddingIdentity]
) -> None:
    half = with_rounded_whiteners("cam", scene, torch.bfloat16)
    with torch.no_grad():
        embedded = untrained[0](inputs(frames[40:64]))
        found = map_error(half.maps(embedded).grids, scene.maps(embedded).grids)
    told = whitener_error(scene.require_gaussians(), torch.bfloat16, eps=scene.eps)
    assert 0 < found <= told <= precision.MAP_ERROR_AT_MOST


def test_whiteners_whose_maps_do_not_bear_it_keep_32_bits(
    monkeypatch: pytest.MonkeyPatch, scene: SceneModel, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    rounded = with_rounded_whiteners("cam", scene, torch.bfloat16)
    assert rounded.require_gaussians().blocks[0].dtype == torch.bfloat16
    assert scene.require_gaussians().blocks[0].dtype == torch.float32, "who has the model may save it"
    monkeypatch.setattr(precision, "MAP_ERROR_AT_MOST", 1e-4)
    assert with_rounded_whiteners("cam", scene, torch.bfloat16) is scene
    assert "camera cam: whiteners in bfloat16, which changes its map by up to 0." in caplog.text
    assert "camera cam: whiteners in float32: bfloat16 changes its map" in caplog.text


def test_both_errors_together_are_what_is_allowed(
    frames: list[Frame], scene: SceneModel, untrained: tuple[Embedder, EmbeddingIdentity], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    checked = CheckedPrecision(untrained[0], Off(untrained[0], 1.001))
    checked.begin("cam", 0.9 * precision.MAP_ERROR_AT_MOST)
    checked.record("cam", CHECKED_FRAMES, 0.2 * precision.MAP_ERROR_AT_MOST)
    assert "changes its map by up to 1.1%, and 1% is allowed" in caplog.text
    checked.begin("cam", 0.7 * precision.MAP_ERROR_AT_MOST)
    checked.record("cam", CHECKED_FRAMES, 0.2 * precision.MAP_ERROR_AT_MOST)
    assert "which changes its map by up to 0.9%" in caplog.text


@pytest.mark.parametrize("sizes", [[100], [16] * 7, [31, 1, 68], [33, 67]])
def test_which_frames_are_in_half_precision_does_not_follow_from_batches(
    sizes: list[int], untrained: tuple[Embedder, EmbeddingIdentity], scene: SceneModel, frames: list[Frame]
) -> None:
    half, picture = Off(untrained[0], 1.0 + 1e-6), replace(frames[0], camera="cam")
    engine, sent = engine_of(untrained, half), 0
    engine.watch("cam", WatchedScene(scene))
    for size in sizes:
        engine.score([replace(picture, time_s=0.1 * n) for n in range(sent, min(sent + size, 100))])
        sent += size
    assert half.calls == CHECKED_FRAMES + 100 - HALF_FROM_FRAME


def test_a_camera_that_is_not_checked_parts_no_batch(untrained: tuple[Embedder, EmbeddingIdentity]) -> None:
    checked = CheckedPrecision(untrained[0], untrained[0])
    checked.begin("moves", sees=False)
    checked.begin("sees")
    assert checked.known_until(["moves"] * 100) == 100
    assert checked.known_until(["moves", *["sees"] * 100]) == 1 + HALF_FROM_FRAME
    checked.numbers(["sees"] * CHECKED_FRAMES)
    assert checked.known_until(["moves", *["sees"] * 100]) == 101, "what was to be checked has come, whatever it came to"


def test_a_batch_that_fails_uses_up_no_frame_of_a_check(
    untrained: tuple[Embedder, EmbeddingIdentity], scene: SceneModel, frames: list[Frame], monkeypatch: pytest.MonkeyPatch
) -> None:
    half, failing = Off(untrained[0], 1.0 + 1e-6), iter([True, True])
    engine = engine_of(untrained, half)
    engine.watch("cam", WatchedScene(scene))
    maps = SceneModel.maps

    def fails_twice(model: SceneModel, *arguments: Tensor, tile_frames: int) -> object:
        if next(failing, False):
            raise RuntimeError("out of memory")
        return maps(model, *arguments, tile_frames=tile_frames)

    monkeypatch.setattr(SceneModel, "maps", fails_twice)
    batches = [[replace(frames[0], camera="cam", time_s=0.1 * n) for n in range(at, at + 4)] for at in range(0, 40, 4)]
    for batch in batches:
        for _ in range(3):
            try:
                engine.score(batch)
            except RuntimeError:
                continue
            break
    assert half.calls == 3 * 4 + CHECKED_FRAMES - 4 + len(batches) * 4 - HALF_FROM_FRAME, "two failed, and were checked again"
