"""Every kind of bad input: one line, the right exit code, no traceback, nothing half-written."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from streamwatch.config.sharding import Shard
from streamwatch.model.artifact.serialization import Provenance, save_model
from streamwatch.model.embedding.backbone import ARCHITECTURES, untrained_model
from streamwatch.model.embedding.identity import BackboneSpec, build_embedder
from streamwatch.model.fitting import fit
from streamwatch.model.scene import SceneModel
from tests.conftest import REPOSITORY, Cli, batch_of, encode, moving_square


@pytest.fixture
def model(fitted: SceneModel, tmp_path: Path) -> Path:
    path = tmp_path / "models" / "dock.safetensors"
    save_model(fitted, path, Provenance())
    return path


def config(tmp_path: Path, video: Path, extra: str = "") -> Path:
    path = tmp_path / "c.yaml"
    path.write_text(
        f"version: 1\ndata_dir: {tmp_path}\nbackbone: {{weights: untrained}}\nmetrics: {{listen: null}}\n"
        f"web: {{listen: null}}\ncameras:\n  dock:\n    source: {video}\n{extra}"
    )
    return path


def fit_arguments(tmp_path: Path, source: object) -> tuple[object, ...]:
    return ("fit", "--model", tmp_path / "new.safetensors", "--weights", "untrained", source)


@pytest.mark.parametrize(
    ("content", "code", "says"),
    [(None, 2, "no such file"), (b"", 1, "0 bytes"), (b"text\n" * 99, 1, "not a readable video")],
)
def test_sources_that_are_no_video(cli: Cli, tmp_path: Path, model: Path, content: bytes | None, code: int, says: str) -> None:
    path = tmp_path / "x.mp4"
    if content is not None:
        path.write_bytes(content)
    for arguments in (fit_arguments(tmp_path, path), ("score", "--model", model, path, "--out", tmp_path / "s.csv")):
        result = cli(*arguments)
        assert (result.code, says in result.error_line) == (code, True)
        assert "x.mp4" in result.error_line
    assert not (tmp_path / "new.safetensors").exists()
    assert not (tmp_path / "s.csv").exists()


def test_too_few_frames(cli: Cli, tmp_path: Path) -> None:
    result = cli(*fit_arguments(tmp_path, encode(tmp_path / "short.mp4", moving_square(20))))
    assert result.code == 1
    assert "only 20 frames" in result.error_line
    assert "32" in result.error_line
    assert not (tmp_path / "new.safetensors").exists()


def test_nan_in_weights(cli: Cli, tmp_path: Path, video: Path) -> None:
    state = untrained_model(ARCHITECTURES["resnet18"], 0).state_dict()
    state["conv1.weight"][0] = float("nan")
    torch.save(state, tmp_path / "w.pth")
    result = cli("fit", "--model", tmp_path / "m.safetensors", "--weights", tmp_path / "w.pth", video)
    assert result.code == 1
    assert "NaN" in result.error_line


def test_default_weights_without_a_network(cli: Cli, tmp_path: Path, video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    result = cli("fit", "--model", tmp_path / "m.safetensors", video)
    assert result.code == 1
    assert all(way in result.error_line for way in ("(1)", "(2)", "(3)"))


def test_model_files_that_are_broken(cli: Cli, video: Path, model: Path) -> None:
    whole = model.read_bytes()
    for content, says in ((whole[:-100], "truncated"), (whole[:-100] + bytes(100), "altered"), (b"", "truncated")):
        model.write_bytes(content)
        result = cli("score", "--model", model, video)
        assert (result.code, says in result.error_line) == (1, True), result.error_line


def test_a_model_of_another_backbone_or_other_weights(cli: Cli, tmp_path: Path, video: Path, model: Path) -> None:
    torch.save(untrained_model(ARCHITECTURES["resnet18"], 77).state_dict(), tmp_path / "w.pth")
    result = cli("score", "--model", model, video, "--weights", tmp_path / "w.pth")
    assert result.code == 1
    assert "another weights_sha256" in result.error_line
    embedder, identity = build_embedder(BackboneSpec("efficientnet_b5", "untrained", 20), device=torch.device("cpu"))
    other = fit(SceneModel(identity), embedder, [batch_of(torch.randint(0, 255, (40, 256, 256, 3), dtype=torch.uint8))])
    save_model(other, model, Provenance())
    result = cli("run", "-c", config(tmp_path, video), "--until-eof")
    assert result.code == 1
    assert "another backbone" in result.error_line


def test_a_camera_without_a_model(cli: Cli, tmp_path: Path, video: Path) -> None:
    result = cli("run", "-c", config(tmp_path, video), "--until-eof")
    assert result.code == 2
    assert "camera dock has no model" in result.error_line
    assert "streamwatch fit" in result.error_line
    assert not (tmp_path / "events.db").exists()


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        ("    colour: red\n", "unknown key"),
        ("    fps: [1]\n", "fps"),
        ("    ignore: [[[0, 0], [2, 0], [1, 1]]]\n", "ignore[0][1][0]"),
    ],
)
def test_configurations_that_are_wrong(cli: Cli, tmp_path: Path, video: Path, extra: str, says: str) -> None:
    for command in (("run", "-c"), ("check",)):
        result = cli(*command, config(tmp_path, video, extra))
        assert result.code == 2
        assert says in result.error_line
        assert "c.yaml:9" in result.error_line


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("fit",), "either -c CONFIG or --model"),
        (("fit", "--model", "m"), "no footage"),
        (("fit", "--model", "m", "--all", "x"), "--all needs -c"),
        (("fit", "--model", "m", "rtsp://127.0.0.1:9/x"), "--live"),
        (("fit", "--model", "m", "--live", "soon", "x"), "duration"),
        (("score", "x"), "--model"),
        (("score", "--model", "m", "rtsp://u:s3cret@127.0.0.1:9/x"), "streamwatch run"),
        (("run", "-c", "none.yaml"), "no such configuration file"),
        (("run", "-c", "none.yaml", "--shard", "3/3"), "K/N takes K from 0 to N-1"),
        (("run", "-c", "none.yaml", "--shard", "third"), "is not K/N"),
        (("backup", "-c", "none.yaml", "out.tar"), "no such configuration file"),
        (("restore", "none.tar", "--to", "x"), "does not exist"),
        (("watch",), "No such command"),
        (("demo", "--device", "tpu"), "device"),
    ],
)
def test_wrong_usage(cli: Cli, arguments: tuple[str, ...], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = cli(*arguments)
    assert result.code == 2
    assert says in result.error_line
    assert "s3cret" not in result.err
    assert not list(tmp_path.iterdir())


def test_an_unknown_camera_and_backbone_options_with_a_configuration(cli: Cli, tmp_path: Path, video: Path) -> None:
    path = config(tmp_path, video)
    assert "no camera 'door'" in cli("fit", "-c", path, "door").error_line
    assert "cannot be given with -c" in cli("fit", "-c", path, "dock", "--dims", "5").error_line
    assert "no footage to learn from" in cli("fit", "-c", path, "dock").error_line


def test_a_metrics_address_that_is_none(cli: Cli, tmp_path: Path, video: Path) -> None:
    result = cli("run", "-c", config(tmp_path, video), "--metrics-listen", "everywhere")
    assert (result.code, result.error_line) == (2, "error: --metrics-listen everywhere: must be HOST:PORT, like 127.0.0.1:9464")


def test_a_shard_without_cameras_has_nothing_to_do_and_the_others_share_them(cli: Cli, tmp_path: Path, video: Path) -> None:
    path = config(tmp_path, video)
    names = [name for name in ("0/2", "1/2") if not Shard.parse(name).takes("dock")]
    idle = cli("run", "-c", path, "--until-eof", "--shard", names[0])
    assert (idle.code, idle.out) == (0, "")
    busy = cli("run", "-c", path, "--until-eof", "--shard", "0/1")
    assert "camera dock has no model" in busy.error_line, "the one that takes the camera needs its model"


def test_a_port_that_is_taken(cli: Cli, tmp_path: Path, video: Path, model: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        path = config(tmp_path, video)
        path.write_text(
            path.read_text().replace("metrics: {listen: null}", f"metrics: {{listen: 127.0.0.1:{taken.getsockname()[1]}}}")
        )
        result = cli("run", "-c", path, "--until-eof")
    assert result.code == 1
    assert "cannot listen" in result.error_line


def test_a_maps_folder_that_is_not_empty(cli: Cli, tmp_path: Path, video: Path, model: Path) -> None:
    result = cli("score", "--model", model, video, "--maps", tmp_path)
    assert result.code == 2
    assert "not empty" in result.error_line


def test_an_output_that_cannot_be_written(cli: Cli, tmp_path: Path, video: Path, model: Path) -> None:
    for option in ("--out", "--video"):
        result = cli("score", "--model", model, video, option, tmp_path / "none" / "x.mp4")
        assert result.code == 2
        assert "cannot be written" in result.error_line


def test_a_machine_without_libgl_is_told_what_to_install(tmp_path: Path) -> None:
    """As a new Debian is, on which `pip install .` takes the OpenCV with windows."""
    (tmp_path / "cv2").mkdir()
    (tmp_path / "cv2/__init__.py").write_text("raise ImportError('libGL.so.1: cannot open shared object file')")
    command = [sys.executable, "-m", "streamwatch", "demo", "--render-only", str(tmp_path / "footage")]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: OpenCV needs libGL")
    assert "opencv-python-headless" in done.stderr
