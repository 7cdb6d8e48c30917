"""Footage in which something happened that is not normal: it is found, shown, left out, and nothing is decoded twice."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamwatch.model.artifact.serialization import load_model, read_metadata
from streamwatch.records import UInt8Array
from tests.conftest import QUICK_PRECISION, Cli, encode, moving_square

pytestmark = pytest.mark.slow(40)
RATE_HZ = 10
VISIT_S = (16.0, 18.0)


def with_visit(frames: int) -> Iterator[UInt8Array]:
    for number, picture in enumerate(moving_square(frames)):
        if VISIT_S[0] <= number / RATE_HZ < VISIT_S[1]:
            picture[80:110, 20:60] = (255, 240, 0)
        yield picture


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dirty")
    encode(folder / "dirty.mp4", with_visit(200), fps=RATE_HZ)
    encode(folder / "clean.mp4", moving_square(50, noise_seed=8), fps=RATE_HZ)
    document = {
        "version": 1,
        "data_dir": str(folder / "data"),
        "backbone": {"weights": "untrained", "dims": 30},
        "precision": QUICK_PRECISION,
        "defaults": {"fps": "native"},
        "cameras": {
            "yard": {"source": "rtsp://127.0.0.1:1/x", "normal": [str(folder / "dirty.mp4"), str(folder / "clean.mp4")]},
            "hall": {
                "source": "rtsp://127.0.0.1:1/x",
                "normal": [str(folder / "dirty.mp4"), str(folder / "clean.mp4")],
                "privacy": [[[0, 0], [0.1, 0], [0.1, 0.1]]],
            },
        },
    }
    (folder / "site.yaml").write_text(json.dumps(document))
    return folder


def fit(site: Path, cli: Cli, *arguments: str) -> str:
    result = cli("fit", "-c", site / "site.yaml", *arguments)
    assert result.code == 0, result.err
    return result.out


def test_what_stands_out_is_named_shown_and_left_out_without_decoding(site: Path, cli: Cli) -> None:
    said = fit(site, cli, "yard")
    ranges = re.findall(r"--exclude (\S+)", said)
    assert len(ranges) == 1, said
    name, start_s, end_s = re.match(r"(.+)@([\d.]+)s-([\d.]+)s", ranges[0]).groups()  # type: ignore[union-attr]
    assert name == "dirty.mp4"
    assert VISIT_S[0] - 1.5 <= float(start_s) <= VISIT_S[0]
    assert VISIT_S[1] <= float(end_s) <= VISIT_S[1] + 3
    page = (site / "data/models/yard.outliers.html").read_text()
    assert "data:image/jpeg;base64," in page
    assert ranges[0] in page
    before = load_model(site / "data/models/yard.safetensors")[0].calibration_

    again = fit(site, cli, "yard", "--exclude", ranges[0])
    assert "from the inputs that were kept" in again
    assert "--exclude" not in again
    assert not (site / "data/models/yard.outliers.html").exists()
    document = read_metadata(site / "data/models/yard.safetensors")
    assert 250 - document["frames"] == pytest.approx(RATE_HZ * (float(end_s) - float(start_s)), abs=2)
    assert document["provenance"]["sources"][-1] == f"without {ranges[0]}"
    after = load_model(site / "data/models/yard.safetensors")[0].calibration_
    assert before
    assert after
    for now, then in zip(after.peaks_of(""), before.peaks_of(""), strict=True):
        assert now.highest <= then.highest


def test_kept_inputs_give_the_very_same_model(site: Path, cli: Cli) -> None:
    if not (site / "data/models/yard.inputs").exists():
        fit(site, cli, "yard")
    fit(site, cli, "yard", "--no-keep-inputs")
    decoded, _ = load_model(site / "data/models/yard.safetensors")
    assert "from the inputs that were kept" in fit(site, cli, "yard")
    kept, _ = load_model(site / "data/models/yard.safetensors")
    assert decoded.gaussians_
    assert kept.gaussians_
    assert (decoded.gaussians_.mean == kept.gaussians_.mean).all()
    assert (decoded.gaussians_.whitener_t == kept.gaussians_.whitener_t).all()
    assert decoded.calibration_ == kept.calibration_


def test_footage_that_changed_is_decoded_again(site: Path, cli: Cli) -> None:
    encode(site / "clean.mp4", moving_square(50, noise_seed=9), fps=RATE_HZ)
    assert "kept" not in fit(site, cli, "yard")


def test_a_camera_with_privacy_polygons_keeps_no_inputs(site: Path, cli: Cli) -> None:
    assert "--exclude" in fit(site, cli, "hall")
    assert not (site / "data/models/hall.inputs").exists()
    assert "data:image" not in (site / "data/models/hall.outliers.html").read_text()
    refused = cli("fit", "-c", site / "site.yaml", "hall", "--keep-inputs")
    assert (refused.code, "privacy" in refused.error_line) == (2, True)


def test_an_exclusion_of_nothing_is_a_usage_error(site: Path, cli: Cli) -> None:
    refused = cli("fit", "-c", site / "site.yaml", "yard", "--exclude", "1s-2s")
    assert refused.code == 2
    assert "means 2 of 2 files" in refused.error_line
