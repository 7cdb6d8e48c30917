"""Where weights come from, and what happens when they cannot be had."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

from streamwatch.errors import SourceNotFound, WeightsError
from streamwatch.model.embedding.backbone import ARCHITECTURES, Architecture, untrained_model
from streamwatch.model.embedding.weights import cached_file, load_backbone, mirrored_file, verify_file_name_hash

R18 = ARCHITECTURES["resnet18"]


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty torchvision cache, and a proxy that refuses every connection."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("https_proxy", "HTTPS_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    return tmp_path


def test_a_file_is_the_same_backbone_in_either_format(tmp_path: Path) -> None:
    state = untrained_model(R18, seed=9).state_dict()
    save_file(state, tmp_path / "w.safetensors")
    torch.save(state, tmp_path / "w.pth")
    prints = {load_backbone(R18, str(tmp_path / name), 0).sha256 for name in ("w.safetensors", "w.pth")}
    assert prints == {load_backbone(R18, "untrained", 9).sha256}


def test_a_classifier_of_another_size_does_not_matter(tmp_path: Path) -> None:
    state = untrained_model(R18, seed=9).state_dict()
    state["fc.weight"], state["fc.bias"] = torch.zeros(7, 512), torch.zeros(7)
    torch.save({"state_dict": state}, tmp_path / "w.pth")
    assert load_backbone(R18, str(tmp_path / "w.pth"), 0).sha256 == load_backbone(R18, "untrained", 9).sha256


def test_builtin_is_untrained_until_a_file_ships() -> None:
    loaded = load_backbone(R18, "builtin", 1)
    assert (loaded.weights, loaded.trained) == ("untrained", False)


def test_default_weights_without_a_network_name_three_ways_out(no_network: Path) -> None:
    with pytest.raises(WeightsError) as info:
        load_backbone(R18, "default", 0)
    text = str(info.value)
    assert info.value.exit_code == 1
    assert all(way in text for way in ("weights fetch resnet18", "--weights FILE", "--weights untrained"))
    assert "\n" not in text
    assert not cached_file(R18).exists()


def test_a_cached_default_file_that_is_not_the_published_one_is_refused(no_network: Path) -> None:
    path = cached_file(R18)
    path.parent.mkdir(parents=True)
    torch.save(untrained_model(R18, seed=0).state_dict(), path)
    with pytest.raises(WeightsError, match="sha256"):
        load_backbone(R18, "default", 0)


def test_a_file_named_for_its_hash_passes(tmp_path: Path) -> None:
    content = b"weights"
    path = tmp_path / f"net-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    path.write_bytes(content)
    assert verify_file_name_hash(path) == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_garbage_is_not_a_state_dict(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x80\x04garbage" * 50)
    with pytest.raises(WeightsError, match="state dict"):
        load_backbone(R18, str(tmp_path / name), 0)


def test_a_pickle_cannot_run_code(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (Path(tmp_path / "ran"),)  # type: ignore[return-value]

    torch.save({"a": Bomb()}, tmp_path / "w.pth")
    with pytest.raises(WeightsError):
        load_backbone(R18, str(tmp_path / "w.pth"), 0)
    assert not (tmp_path / "ran").exists()


def test_weights_of_another_backbone_are_refused(tmp_path: Path) -> None:
    torch.save(untrained_model(ARCHITECTURES["efficientnet_b5"], seed=0).state_dict(), tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="not weights of resnet18"):
        load_backbone(R18, str(tmp_path / "w.pth"), 0)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound):
        load_backbone(R18, str(tmp_path / "none.pth"), 0)


def published(arch: Architecture, folder: Path) -> Path:
    """A file of exactly the form that torchvision publishes: the whole model's state dict, its hash in its name."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(untrained_model(arch, seed=9).state_dict(), folder / "w.pth")
    with (folder / "w.pth").open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    stem = cached_file(arch).name.rpartition("-")[0]
    return (folder / "w.pth").rename(folder / f"{stem}-{sha256[:8]}.pth")


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("layout", [".", "checkpoints", "hub/checkpoints"])
def test_a_folder_that_mirrors_torchvisions_cache(tmp_path: Path, name: str, layout: str) -> None:
    if name != "resnet18" and layout != "hub/checkpoints":
        return  # the others are large, and differ in nothing
    arch = ARCHITECTURES[name]
    file = published(arch, tmp_path / layout)
    expected = load_backbone(arch, "untrained", 9).sha256
    assert load_backbone(arch, str(tmp_path), 0).sha256 == load_backbone(arch, str(file), 0).sha256 == expected
    assert mirrored_file(arch, tmp_path) == file


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_cache_takes_torchvisions_own_file(
    no_network: Path, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As if what torchvision publishes were what is made here: name, place and hash are its own."""
    arch = ARCHITECTURES[name]
    file = published(arch, tmp_path / "made")
    url = f"https://download.example/models/{file.name}"
    monkeypatch.setattr(Architecture, "weights", SimpleNamespace(url=url))
    cached_file(arch).parent.mkdir(parents=True)
    file.rename(cached_file(arch))
    loaded = load_backbone(arch, "default", 0)
    assert (loaded.weights, loaded.trained, loaded.sha256) == ("default", True, load_backbone(arch, "untrained", 9).sha256)


def test_a_file_that_was_damaged_on_its_way_is_refused(tmp_path: Path) -> None:
    file = published(R18, tmp_path)
    with file.open("r+b") as damaged:
        damaged.seek(100_000)
        damaged.write(b"\0\1\2\3")
    for weights in (file, tmp_path):
        with pytest.raises(WeightsError, match="sha256"):
            load_backbone(R18, str(weights), 0)


def test_a_folder_without_the_backbones_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="holds no weights of resnet18"):
        load_backbone(R18, str(tmp_path), 0)
    for name in ("resnet18-00000000.pth", "resnet18-11111111.pth"):
        (tmp_path / name).touch()
    with pytest.raises(WeightsError, match=r"holds 2 weights files of resnet18.*copy resnet18-f37072fd.pth"):
        load_backbone(R18, str(tmp_path), 0)
