"""What `make gpu` measures, on each device and in little: a figure for each precision, and batches that are really scored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.gpu import FLOAT32_ERROR_AT_MOST, Sizes, agreement, batch_seconds, throughput
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
    for number in range(3):
        engine.watch(f"cam{number}", WatchedScene(scene))
    taken = batch_seconds(engine, frames, 3, 4, 0.0)
    assert len(taken) == 2, "but the first, which warms up"
    assert set(asked) == {4}
    sizes = replace(Sizes(device.type, 0.0, 2), batches=(2,))
    names = [figure.what for figure in throughput(scene, frames, sizes, "float32", 2)]
    assert names[0] == "float32, 2 cameras, batches of 2: scored, decisions included"
