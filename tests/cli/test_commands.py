"""The commands as their users call them."""

from __future__ import annotations

import csv
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from streamwatch.inference.precision import MAP_ERROR_AT_MOST
from streamwatch.model.artifact.serialization import Provenance, load_model, save_model
from streamwatch.model.embedding.embedder import Embedder
from streamwatch.model.embedding.identity import EmbeddingIdentity
from streamwatch.model.scene import SceneModel
from tests.conftest import REPOSITORY, Cli, encode, inputs, moving_square, read

pytestmark = pytest.mark.slow(75)


@pytest.fixture(scope="module")
def model(fitted: SceneModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "m.safetensors"
    save_model(fitted, path, Provenance())
    return path


def test_fit_then_score(cli: Cli, video: Path, tmp_path: Path) -> None:
    model = tmp_path / "m.safetensors"
    fit = cli("fit", "--model", model, "--weights", "untrained", video)
    assert fit.code == 0
    assert "80 frames learned" in fit.out
    assert "UNTRAINED" in fit.err
    score = cli("score", "--model", model, video, "--out", tmp_path / "s.csv")
    assert (score.code, score.out) == (0, "")
    assert "UNTRAINED" in score.err
    rows = list(csv.DictReader((tmp_path / "s.csv").read_text().splitlines()))
    assert list(rows[0]) == ["frame", "time_s", "score", "level"]
    assert [int(r["frame"]) for r in rows] == list(range(80))
    assert float(rows[-1]["time_s"]) == pytest.approx(7.9)


def test_score_on_stdout_and_as_json_agree(cli: Cli, video: Path, model: Path) -> None:
    table = list(csv.DictReader(cli("score", "--model", model, video).out.splitlines()))
    document = json.loads(cli("score", "--model", model, video, "--json").out)
    assert document["frames"] == len(table) == 80
    assert document["weights"] == "untrained"
    assert [f"{row['score']:.6f}" for row in document["scores"]] == [row["score"] for row in table]


def test_score_equals_the_library(cli: Cli, video: Path, model: Path, untrained: tuple[Embedder, EmbeddingIdentity]) -> None:
    expected = load_model(model)[0].score(untrained[0], inputs(read(video))).scores.tolist()
    rows = json.loads(cli("score", "--model", model, video, "--json", "--precision", "float32").out)["scores"]
    assert [row["score"] for row in rows] == expected


def test_what_auto_chooses_is_within_what_it_says(cli: Cli, video: Path, model: Path) -> None:
    asked = ("score", "--model", model, video, "--json")
    auto, full = (json.loads(cli(*asked, *more).out)["scores"] for more in ((), ("--precision", "float32")))
    assert [row["score"] for row in auto] == pytest.approx([row["score"] for row in full], rel=MAP_ERROR_AT_MOST)


def test_maps_and_video(cli: Cli, video: Path, model: Path, tmp_path: Path) -> None:
    result = cli("score", "--model", model, video, "--json", "--maps", tmp_path / "maps", "--video", tmp_path / "o.mp4")
    scores = [row["score"] for row in json.loads(result.out)["scores"]]
    maps = [np.load(p) for p in sorted((tmp_path / "maps").glob("*.npy"))]
    assert [float(m.max()) for m in maps] == scores
    assert len(list((tmp_path / "maps").glob("*.png"))) == 80
    with av.open(str(tmp_path / "o.mp4")) as container:
        times = [frame.time for frame in container.decode(video=0)]
    np.testing.assert_allclose(times, np.arange(80) / 10, atol=1e-3)


def test_a_failed_score_leaves_nothing(cli: Cli, model: Path, tmp_path: Path) -> None:
    (tmp_path / "x.mp4").write_text("no video")
    arguments = ("--out", tmp_path / "s.csv", "--maps", tmp_path / "maps", "--video", tmp_path / "o.mp4")
    assert cli("score", "--model", model, tmp_path / "x.mp4", *arguments).code == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.mp4"]


def test_a_truncated_video_is_scored_as_far_as_it_goes(cli: Cli, model: Path, tmp_path: Path) -> None:
    content = encode(tmp_path / "whole.mkv", moving_square(80)).read_bytes()
    (tmp_path / "cut.mkv").write_bytes(content[: len(content) // 2])
    result = cli("score", "--model", model, tmp_path / "cut.mkv", "--json")
    document = json.loads(result.out)
    assert result.code == 0
    assert 10 < document["frames"] < 70
    assert "warning:" in result.err
    assert document["warnings"]


def test_update_adds_frames(cli: Cli, video: Path, model: Path, tmp_path: Path) -> None:
    copy = tmp_path / "m.safetensors"
    copy.write_bytes(model.read_bytes())
    assert "160 frames learned" in cli("fit", "--model", copy, "--update", video).out


@pytest.mark.parametrize("arguments", [["--help"], ["fit", "--help"], ["score", "-h"], ["run", "--help"], ["--version"]])
def test_help(cli: Cli, arguments: list[str]) -> None:
    result = cli(*arguments)
    assert result.code == 0
    assert result.out


def test_help_and_check_import_no_torch() -> None:
    code = (
        "import sys\nfrom streamwatch.cli.main import main\n"
        "try:\n    main(sys.argv[1:])\nfinally:\n    assert 'torch' not in sys.modules and 'av' not in sys.modules\n"
    )
    for arguments in (["--help"], ["check", str(REPOSITORY / "configs/example.yaml")], ["schema"]):
        subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True, cwd=REPOSITORY)


def test_nothing_slow_is_imported_that_is_not_used(model: Path) -> None:
    """torchvision takes two of three seconds, scipy.stats half of one: most commands have no use for them."""
    code = (
        "import sys\nfrom streamwatch.cli.main import main\n"
        "try:\n    main(sys.argv[1:])\n"
        "finally:\n    assert 'torch' in sys.modules and not {'torchvision', 'scipy.stats'} & set(sys.modules)\n"
    )
    for arguments in (["model", "show", str(model)], ["fit", "--help"]):
        subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True, cwd=REPOSITORY)


def test_schema_is_json_and_knows_the_keys(cli: Cli) -> None:
    schema = json.loads(cli("schema").out)
    assert {"version", "cameras", "defaults"} <= set(schema["properties"])
    assert schema["additionalProperties"] is False


def test_check(cli: Cli, tmp_path: Path, video: Path) -> None:
    (tmp_path / "c.yaml").write_text(f"version: 1\ncameras: {{a: {{source: '{video}'}}}}\n")
    assert cli("check", tmp_path / "c.yaml").code == 0
    assert "80 frames declared" in cli("check", tmp_path / "c.yaml", "--probe").out
    (tmp_path / "c.yaml").write_text("version: 1\nx: 1\ny: 2\ncameras: {a: {source: none.mp4}}\n")
    result = cli("check", tmp_path / "c.yaml")
    assert result.code == 2
    assert result.err.count("unknown key") == 2


def test_check_probe_of_a_source_that_is_not_there(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("version: 1\ncameras: {a: {source: none.mp4}}\n")
    assert cli("check", tmp_path / "c.yaml").code == 0
    result = cli("check", tmp_path / "c.yaml", "--probe")
    assert result.code == 1
    assert "1 source(s) cannot be opened: a" in result.error_line


def test_weights_list_and_verify(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    rows = json.loads(cli("weights", "list", "--json").out)
    assert [(row["backbone"], row["cached"]) for row in rows] == [
        ("resnet18", False),
        ("wide_resnet50_2", False),
        ("efficientnet_b5", False),
    ]
    assert cli("weights", "verify").code == 2
    assert "weights fetch resnet18" in cli("weights", "verify", "resnet18").error_line
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    result = cli("weights", "fetch", "resnet18")
    assert result.code == 1
    assert "--weights untrained" in result.error_line


def test_a_bar_on_a_terminal_and_lines_elsewhere(model: Path, tmp_path: Path) -> None:
    video = encode(tmp_path / "short.mp4", moving_square(20))
    command = [
        sys.executable,
        "-m",
        "streamwatch",
        "score",
        "--model",
        str(model),
        str(video),
        "--out",
        str(tmp_path / "s.csv"),
    ]
    plain = subprocess.run(command, check=True, capture_output=True, text=True, cwd=REPOSITORY).stderr
    assert "score: 20 frames in" in plain
    assert "\x1b" not in plain
    controller, terminal = pty.openpty()
    process = subprocess.Popen(command, stderr=terminal, stdout=subprocess.DEVNULL, cwd=REPOSITORY)
    os.close(terminal)
    shown = b""
    try:
        while chunk := os.read(controller, 4096):
            shown += chunk
    except OSError:  # the terminal's other end closed
        pass
    assert process.wait(60) == 0
    assert b"20/20" in shown
    assert b"fps" in shown
    assert b"ETA" in shown
