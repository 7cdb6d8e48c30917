"""`evaluate --features` and `--ablate`: the same figures from the same frames, and a table with the time of each row."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from streamwatch.evaluation.ablation import RULES, FrameMaps
from streamwatch.model.scoring.fusion import FieldMaps
from tests.conftest import Cli, encode, moving_square
from tests.evaluation.test_evaluate import write_clip

SAME_TO = 1e-9


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One scene, one clip, in the layout of STC."""
    root = tmp_path_factory.mktemp("one")
    (root / "training/videos").mkdir(parents=True)
    encode(root / "training/videos/01_001.avi", moving_square(80), fps=24)
    write_clip(root, "01_0001", frames=24)
    return root


def test_the_tables_rows_are_what_evaluate_reports(cli: Cli, scene: Path, tmp_path: Path) -> None:
    common = ("evaluate", "shanghaitech", scene, "--weights", "untrained", "--dims", "30", "--json")
    result = cli(*common, "--report", tmp_path, "--ablate")
    assert result.code == 0, result.err
    rows = {row["rule"]: row for row in json.loads(result.out)}
    assert list(rows) == [rule.name for rule in RULES]
    page = (tmp_path / "ablation.md").read_text()
    assert all(name in page for name in rows)
    assert all(row["ms_per_frame"] > 0 for row in rows.values())
    both = json.loads(cli(*common, "--report", tmp_path / "both", "--features", "both").out)
    unfiltered = next(row for name, row in rows.items() if "`score` of `both`" in name)
    level = next(row for name, row in rows.items() if "daemon's level" in name)
    assert unfiltered["frame_auroc_micro"] == pytest.approx(both["frame_auroc_micro"], abs=SAME_TO)
    assert unfiltered["pixel_auroc"] == pytest.approx(both["pixel_auroc"], abs=SAME_TO)
    assert level["frame_auroc_micro"] == pytest.approx(both["causal"]["frame_auroc_micro"], abs=SAME_TO)
    assert both["protocol"]["features"] == "both"


def test_every_rule_takes_a_frame_without_motion_evidence() -> None:
    maps = FieldMaps(np.ones((64, 64), np.float32), None)
    for rule in RULES:
        assert rule.map_of(FrameMaps(maps, maps, maps, maps, 1.0, np.ones((64, 64), np.float32))).shape == (64, 64)
