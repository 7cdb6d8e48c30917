"""configs/shanghaitech.yaml: the 13 scenes as cameras of the daemon."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from streamwatch.config.loading import Secrets, load_config
from tests.conftest import REPOSITORY, Cli, encode, moving_square
from tests.evaluation.test_evaluate import write_clip

CONFIG = REPOSITORY / "configs/shanghaitech.yaml"


def test_it_names_every_scene_once() -> None:
    config = load_config(CONFIG, Secrets({"STC_ROOT": "/data/stc"}, ()))
    assert list(config.cameras) == [f"{number:02d}" for number in range(1, 14)]
    for name, camera in config.cameras.items():
        assert camera.normal == (f"/data/stc/training/videos/{name}_*.avi",)


def test_fit_all_and_run_watch_the_test_clips(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of its cameras, one of them without test clips, on a data set of the same layout."""
    root = tmp_path / "stc"
    (root / "training/videos").mkdir(parents=True)
    for name in ("01_001", "13_001"):
        encode(root / f"training/videos/{name}.avi", moving_square(200), fps=24)
    for clip in ("01_0001", "01_0002"):
        write_clip(root, clip, frames=72)
    document = yaml.safe_load(CONFIG.read_text())
    document["cameras"] = {name: document["cameras"][name] for name in ("01", "13")}
    document |= {"data_dir": str(tmp_path / "data"), "metrics": {"listen": None}, "web": {"listen": None}}
    document["backbone"] |= {"weights": "untrained", "dims": 30}
    path = tmp_path / "two.yaml"
    path.write_text(json.dumps(document))
    monkeypatch.setenv("STC_ROOT", str(root))
    fit = cli("fit", "-c", path, "--all")
    assert fit.code == 0, fit.err
    run = cli("run", "-c", path, "--until-eof")
    assert run.code == 0, run.err
    counts = dict(re.findall(r"camera (\d\d): (\d+ frames received, \d+) scored", run.err))
    assert counts == {"01": "30 frames received, 30", "13": "42 frames received, 42"}
    ended = [json.loads(line) for line in run.out.splitlines() if '"anomaly.ended"' in line]
    assert {event["camera"] for event in ended} == {"01"}
