"""`streamwatch evaluate ... --variants` on pictures and on videos."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from streamwatch.cli import evaluate_variants
from streamwatch.evaluation.variants import table
from streamwatch.evaluation.variants.patch_models import NearestPatches
from tests.conftest import Cli
from tests.evaluation.pictures import made_up
from tests.evaluation.test_avenue import make as make_avenue

pytestmark = [pytest.mark.long, pytest.mark.slow(60)]
OPTIONS = ("--weights", "untrained", "--dims", "20", "--json")
VARIANTS = 9


def test_pictures(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "NearestPatches", partial(NearestPatches, pictures=2))
    monkeypatch.setattr(made_up, "DEFECTS", {"grid": ("bent",)})
    root = made_up.make(tmp_path / "mvtec")
    done = cli("evaluate", "mvtec", root, "--report", tmp_path / "variants", "--variants", *OPTIONS)
    assert done.code == 0, done.err
    rows = json.loads(done.out)["variants"]
    assert len(rows) == VARIANTS
    plain = json.loads(cli("evaluate", "mvtec", root, "--report", tmp_path / "plain", *OPTIONS).out)
    paper = rows[0]
    assert "(the paper's)" in paper["variant"]
    assert [paper[key] for key in ("image_auroc", "pixel_auroc", "pro")] == [
        plain[key] for key in ("image_auroc", "pixel_auroc", "pro")
    ]
    assert all(row["ms_per_picture"] > 0 and row["mib"] > 0.1 and 0.5 < row["pixel_auroc"] <= 1 for row in rows)
    assert len({round(row["pixel_auroc"], 4) for row in rows}) == VARIANTS, "each is another method"
    page = (tmp_path / "variants/variants.md").read_text()
    assert page.count("\n| ") == VARIANTS + 1
    assert "PCA" not in page
    assert "MVTec 93.5 / 85.7" in page


def test_videos(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate_variants, "variants_of", lambda *given: table.variants_of(*given)[:2])
    root = make_avenue(tmp_path / "avenue")
    done = cli("evaluate", "avenue", root, "--report", tmp_path / "variants", "--variants", "--every", "4", *OPTIONS)
    assert done.code == 0, done.err
    rows = json.loads(done.out)["variants"]
    plain = json.loads(cli("evaluate", "avenue", root, "--report", tmp_path / "plain", "--every", "4", *OPTIONS).out)
    assert rows[0]["image_auroc"] == plain["frame_auroc_micro"]
    assert rows[0]["pixel_auroc"] == pytest.approx(plain["pixel_auroc"], abs=1e-6)
    assert rows[0]["pro"] == pytest.approx(plain["pro"], abs=1e-6)
    assert min(row["image_auroc"] for row in rows) > 0.9
