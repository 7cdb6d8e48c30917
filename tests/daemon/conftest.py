"""A daemon that is built and does not run: what its tests share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from streamwatch.errors import ModelMismatch
from streamwatch.inference.engine import WatchedScene
from streamwatch.model.artifact.serialization import Provenance, save_model
from streamwatch.model.embedding.identity import BackboneSpec, build_embedder
from streamwatch.model.fitting import fit
from streamwatch.model.scene import SceneModel
from streamwatch.model.scoring.levels import FieldUnits
from streamwatch.records import BoolGrid, Frame
from streamwatch.scores import FrameScore
from tests.conftest import batch_of, inputs, read

REFUSED = "other"
"""A camera whose model no engine takes."""


class NoEngine:
    """Scores nothing."""

    def prepared(self, camera: str, scene: WatchedScene) -> WatchedScene:
        if camera == REFUSED:
            raise ModelMismatch("its model is of another backbone")
        return scene

    def watch(self, camera: str, scene: WatchedScene) -> None:
        pass

    def measure_in(self, camera: str, units: FieldUnits | None, zones: Sequence[BoolGrid] = ()) -> None:
        pass

    def unwatch(self, camera: str) -> None:
        pass

    def probe(self) -> None:
        """It works."""

    def score(self, frames: Sequence[Frame]) -> list[FrameScore]:
        return []


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, video: Path) -> Path:
    """A small model of the video."""
    embedder, identity = build_embedder(BackboneSpec(weights="untrained", dims=5), device=torch.device("cpu"))
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_model(fit(SceneModel(identity), embedder, [batch_of(inputs(read(video)))]), path, Provenance())
    return path
