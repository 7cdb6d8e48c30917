"""A camera with an infrared night, as an operator has it: fit, model show, backtest, calibrate."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamwatch.config.loading import load_config
from streamwatch.daemon.assembly import Surroundings
from streamwatch.daemon.service import Service
from streamwatch.detection.publisher import Subscribers
from streamwatch.enums import CameraState
from streamwatch.model.artifact.serialization import read_metadata
from streamwatch.records import UInt8Array
from tests.conftest import QUICK_PRECISION, Cli, CliResult, encode, moving_square

pytestmark = pytest.mark.slow(60)
RATE_HZ = 5


def greyed(pictures: Iterator[UInt8Array]) -> Iterator[UInt8Array]:
    for picture in pictures:
        yield picture.mean(axis=2, keepdims=True).repeat(3, axis=2).astype("uint8")


def with_intruder(pictures: Iterator[UInt8Array], from_s: float, to_s: float) -> Iterator[UInt8Array]:
    for number, picture in enumerate(pictures):
        if from_s <= number / RATE_HZ < to_s:
            picture[80:110, 20:60] = (255, 240, 0)
        yield picture


def joined(*parts: Iterator[UInt8Array]) -> Iterator[UInt8Array]:
    for part in parts:
        yield from part


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A day and a night of normal footage; a recording with an intruder by night, another with one by day too."""
    folder = tmp_path_factory.mktemp("night")
    encode(folder / "normal.mp4", joined(moving_square(230), greyed(moving_square(230, noise_seed=4))), fps=RATE_HZ)
    night = greyed(with_intruder(moving_square(100, noise_seed=6), 12, 16))
    encode(folder / "today.mp4", joined(moving_square(30, noise_seed=5), night, moving_square(40, noise_seed=7)), fps=RATE_HZ)
    document = {
        "version": 1,
        "data_dir": str(folder / "data"),
        "backbone": {"weights": "untrained", "dims": 30},
        "precision": QUICK_PRECISION,
        "defaults": {"fps": "native", "min_duration": "500ms", "end_delay": "1s", "cooldown": "2s"},
        "cameras": {"yard": {"source": str(folder / "today.mp4"), "normal": [str(folder / "normal.mp4")]}},
        "metrics": {"listen": None},
        "web": {"listen": None},
    }
    (folder / "site.yaml").write_text(json.dumps(document))
    return folder


def backtest(site: Path, cli: Cli) -> CliResult:
    return cli("backtest", "yard", site / "today.mp4", "-c", site / "site.yaml", "--json")


def test_a_night_is_learned_beside_the_day_and_watched_by_itself(site: Path, cli: Cli) -> None:
    fit = cli("fit", "-c", site / "site.yaml", "yard")
    assert fit.code == 0, fit.err
    day, night = site / "data/models/yard.safetensors", site / "data/models/yard@grey.safetensors"
    assert (read_metadata(day)["regime"], read_metadata(night)["regime"]) == ("day", "grey")
    assert read_metadata(day)["frames"] == 230
    assert 200 <= read_metadata(night)["frames"] <= 206  # the first 5 s are neither's
    shown = json.loads(cli("model", "show", "yard", "-c", site / "site.yaml", "--json").out)
    assert (shown["regime"], [other["regime"] for other in shown["others"]]) == ("day", ["grey"])

    tested = json.loads(backtest(site, cli).out)
    assert [round(event["start_s"]) for event in tested["events"]] == [18]

    calibrated = cli("calibrate", "yard", "-c", site / "site.yaml")
    assert calibrated.out.count("calibrated on") == 2


def test_a_night_without_a_model_raises_nothing_and_the_camera_is_calibrating(site: Path, cli: Cli) -> None:
    (site / "data/models/yard@grey.safetensors").unlink(missing_ok=True)
    if not (site / "data/models/yard.safetensors").is_file():
        cli("fit", "-c", site / "site.yaml", "yard")
        (site / "data/models/yard@grey.safetensors").unlink()
    tested = backtest(site, cli)
    assert json.loads(tested.out)["events"] == []
    states: list[CameraState] = []
    on_score = Subscribers(scores=(lambda _scored, _counts: states.append(service.parts.calibration.state_of("yard")),))
    service = Service(load_config(site / "site.yaml"), until_eof=True, surroundings=Surroundings(on_score))
    service.run()
    assert CameraState.CALIBRATING in states[:: len(states) // 10]
    assert states[-1] == states[0], "by day again"
