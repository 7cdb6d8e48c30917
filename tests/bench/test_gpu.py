"""What `make gpu` measures, on each device and in little: a figure for each precision, and batches that are really scored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.gpu import FLOAT32_ERROR_AT_MOST, Resident, Sizes, Turns, agreement, ways
from streamwatch.inference.engine import WatchedScene
from streamwatch.inference.factory import build_engine
from streamwatch.model.embedding.embedder import Embedder
from streamwatch.model.embedding.identity import EmbeddingIdentity
from streamwatch.model.fitting import fit
from streamwatch.model.scene import SceneModel
from streamwatch.records import Frame
from tests.conftest import UNTRAINED, batch_of, inputs, read


@pytest.fixture(scope="module")
def frames(video: Path) -> list[Frame]:
    return read(video)[40:48]


@pytest.fixture(scope="module")
def scene(video: Path, untrained: tuple[Embedder, EmbeddingIdentity]) -> SceneModel:
    return fit(SceneModel(untrained[1]), untrained[0], [batch_of(inputs(read(video)[:40]))])


def test_float32_agrees_with_float64(frames: list[Frame], scene: SceneModel, device: torch.device) -> None:
    found = {
        figure.what.split(":")[0]: float(figure.value) for figure in agreement(scene, frames[:2], Sizes(device.type, 0.1, 1))
    }
    print(found)
    assert found["float32"] <= FLOAT32_ERROR_AT_MOST
    assert found["float32"] < found["bf16"] < 0.1


def test_cameras_take_turns_in_batches_of_the_size_that_is_said(
    frames: list[Frame], scene: SceneModel, device: torch.device
) -> None:
    asked: list[int] = []
    engine = build_engine(UNTRAINED, device=device.type, precision="float32", on_batch=lambda count, _: asked.append(count))
    turns = Turns(engine, scene, frames, 3)
    assert [frame.camera for frame in turns.next(4)] == ["cam0", "cam1", "cam2", "cam0"]
    assert len(turns.batch_seconds(4, 0.0)) == 2
    assert set(asked) == {4}
    waits = turns.waits_s(20.0, 0.2, 2)
    assert len(waits) >= 4
    assert min(waits) > 0


def test_resident_pictures_come_to_the_same_levels(frames: list[Frame], scene: SceneModel, device: torch.device) -> None:
    engine, levels = build_engine(UNTRAINED, device=device.type, precision="float32"), list[list[float]]()
    for upload in (engine.batch_of, Resident(frames, device)):
        engine.batch_of = upload
        engine.watch("cam", WatchedScene(scene))
        levels.append([scored.level for scored in engine.score([replace(frame, camera="cam") for frame in frames])])
    assert levels[0] == levels[1]


def test_every_way_is_measured(frames: list[Frame], scene: SceneModel, device: torch.device) -> None:
    names = [figure.what for figure in ways(scene, frames, replace(Sizes(device.type, 0.0, 2), batches=(2,)), "float32", 2)]
    assert names[0] == "float32, 2 cameras, resident, batches of 2: scored, decisions included"
    assert any("from the host" in name for name in names)
