"""The model file: bit for bit there and back, and every way of being broken said in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from streamwatch.errors import ModelFileError, ModelMissing
from streamwatch.model.artifact.packing import pack_triangles, unpack_triangles
from streamwatch.model.artifact.serialization import Provenance, load_model, read_metadata, save_model
from streamwatch.model.embedding.embedder import Embedder
from streamwatch.model.embedding.identity import EmbeddingIdentity
from streamwatch.model.fitting import update
from streamwatch.model.scene import SceneModel
from tests.conftest import batch_of, inputs, read

PROVENANCE = Provenance(("normal.mp4",), 1.7e9, 8.0)


@pytest.fixture
def path(tmp_path: Path, fitted: SceneModel) -> Path:
    save_model(fitted, tmp_path / "cam.safetensors", PROVENANCE)
    return tmp_path / "cam.safetensors"


def test_it_round_trips_bit_for_bit(path: Path, fitted: SceneModel, tmp_path: Path) -> None:
    loaded, provenance = load_model(path, with_moments=True)
    assert provenance == PROVENANCE
    assert (loaded.identity, loaded.grid, loaded.eps) == (fitted.identity, fitted.grid, fitted.eps)
    assert loaded.calibration_ == fitted.calibration_
    assert loaded.gaussians_
    assert fitted.gaussians_
    assert loaded.moments_
    assert fitted.moments_
    assert torch.equal(loaded.gaussians_.mean, fitted.gaussians_.mean)
    assert torch.equal(loaded.gaussians_.whitener_t, fitted.gaussians_.whitener_t)
    for name in ("shift", "s1", "count"):
        a, b = getattr(loaded.moments_, name), getattr(fitted.moments_, name)
        assert torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b
    assert torch.equal(loaded.moments_.s2.tril(), fitted.moments_.s2.tril())
    save_model(loaded, tmp_path / "again.safetensors", provenance)
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()


def test_a_loaded_model_can_be_updated(path: Path, untrained: tuple[Embedder, EmbeddingIdentity], video: Path) -> None:
    loaded, _ = load_model(path, with_moments=True)
    frames = loaded.frames
    update(loaded, untrained[0], [batch_of(inputs(read(video)))])
    assert loaded.frames == 2 * frames


def test_the_metadata_says_what_the_design_asks(path: Path) -> None:
    document = read_metadata(path)
    assert document["format_version"] == 2
    assert document["identity"]["backbone"] == "resnet18"
    assert document["identity"]["weights"] == "untrained"
    assert document["trained_backbone"] is False
    assert len(document["identity"]["indices"]) == document["identity"]["dims"] == 100
    assert len(document["identity"]["weights_sha256"]) == 64
    assert document["identity"]["level_names"] == ["layer1", "layer2", "layer3"]
    assert (document["eps"], document["frames"], document["fields"]) == (0.01, 80, ["appearance"])
    assert document["calibration"]["start_threshold"] > document["calibration"]["end_threshold"]


def test_others_may_read_it(path: Path, tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing):
        load_model(tmp_path / "none.safetensors")


@pytest.mark.parametrize("keep", [0, 4, 100, 5000, -10])
def test_a_truncated_file(path: Path, keep: int) -> None:
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ModelFileError, match="truncated"):
        load_model(path)


def test_an_altered_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match="altered"):
        load_model(path)


def rewritten(path: Path, **changes: object) -> None:
    with safe_open(path, framework="pt") as file:
        document = json.loads(file.metadata()["streamwatch"])
    save_file(load_file(path), path, metadata={"streamwatch": json.dumps({**document, **changes})})


def test_altered_metadata(path: Path) -> None:
    rewritten(path, frames=100_000)
    with pytest.raises(ModelFileError, match="altered"):
        load_model(path)


def test_another_format_version(path: Path) -> None:
    rewritten(path, format_version=3)
    with pytest.raises(ModelFileError, match="version 3"):
        load_model(path)


def test_a_safetensors_file_that_is_no_model(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(ModelFileError, match="not a streamwatch model"):
        load_model(tmp_path / "x.safetensors")


def test_an_unfitted_model_is_not_saved_and_leaves_nothing(
    tmp_path: Path, untrained: tuple[Embedder, EmbeddingIdentity]
) -> None:
    with pytest.raises(ModelFileError):
        save_model(SceneModel(untrained[1]), tmp_path / "x.safetensors", PROVENANCE)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written(fitted: SceneModel, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ModelFileError, match="cannot be written"):
        save_model(fitted, tmp_path / "file" / "x.safetensors", PROVENANCE)


def test_triangles_pack_and_unpack() -> None:
    square = torch.randn(300, 7, 7)
    lower, symmetric = square.tril(), square @ square.transpose(1, 2)
    assert torch.equal(unpack_triangles(pack_triangles(lower), 7, symmetric=False), lower)
    assert torch.equal(unpack_triangles(pack_triangles(lower), 7, symmetric=False, transposed=True), lower.transpose(1, 2))
    torch.testing.assert_close(unpack_triangles(pack_triangles(symmetric), 7, symmetric=True), symmetric)
