"""From footage to alarms that are listed, as an operator does it: fit, calibrate, model, backtest, run, events."""

from __future__ import annotations

import csv
import json
import re
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from streamwatch.config.loading import load_config
from streamwatch.model.artifact.serialization import load_model
from streamwatch.model.artifact.versions import previous_path
from streamwatch.recalibration.basis import bases_of
from streamwatch.records import LivePeaks, UInt8Array
from streamwatch.scenes.model_files import load_scenes
from streamwatch.store.live_peaks import LiveRecord, Snapshot, load_records, save_record
from streamwatch.store.sessions import database_of
from tests.conftest import QUICK_PRECISION, Cli, encode, moving_square, run_command

pytestmark = pytest.mark.slow(130)

INTRUDER_S = (6.0, 10.0)
RATE_HZ = 10


HERE, ELSEWHERE = (slice(80, 110), slice(20, 60)), (slice(8, 38), slice(112, 152))


def with_intruder(frames: int, at: tuple[slice, slice] = HERE) -> Iterator[UInt8Array]:
    for number, picture in enumerate(moving_square(frames, noise_seed=9)):
        if INTRUDER_S[0] <= number / RATE_HZ < INTRUDER_S[1]:
            picture[at] = (255, 240, 0)
        yield picture


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration with a camera, its normal footage, and a recording with an intruder."""
    folder = tmp_path_factory.mktemp("site")
    encode(folder / "normal.mp4", moving_square(240), fps=RATE_HZ)
    encode(folder / "more.mp4", moving_square(150, noise_seed=5), fps=RATE_HZ)
    encode(folder / "today.mp4", with_intruder(130), fps=RATE_HZ)
    document = {
        "version": 1,
        "data_dir": str(folder / "data"),
        "backbone": {"weights": "untrained", "dims": 30},
        "precision": QUICK_PRECISION,
        "defaults": {"fps": "native", "min_duration": "500ms", "end_delay": "1s", "cooldown": "2s"},
        "cameras": {
            "yard": {
                "source": str(folder / "today.mp4"),
                "normal": [str(folder / "normal.mp4")],
                "alarm_budget": "1/hour",
                "zones": {"gate": {"polygon": [[0.75, 0], [1, 0], [1, 1], [0.75, 1]], "alarm_budget": "2/hour"}},
            }
        },
        "metrics": {"listen": None},
        "web": {"listen": None},
    }
    (folder / "site.yaml").write_text(json.dumps(document))
    return folder


def config(site: Path) -> tuple[str, Path]:
    return "-c", site / "site.yaml"


@pytest.fixture(scope="module")
def learned(site: Path) -> Path:
    run_command("fit", "-c", site / "site.yaml", "yard")
    return site


def test_fit_says_what_it_promises_and_what_it_cannot(site: Path, cli: Cli) -> None:
    fit = cli("fit", *config(site), "yard")
    assert fit.code == 0
    for place, share in (("", "12/day"), ("zone gate: ", "1/hour")):
        assert re.search(rf"^   {place}appearance: threshold [\d.]+ for {share} \(", fit.out, re.MULTILINE), fit.out
        assert re.search(rf"^   {place}motion: threshold [\d.]+ px/s for {share} \(", fit.out, re.MULTILINE), fit.out
    assert "enough to watch with, not for the alarm budget" in fit.out
    assert "events are provisional until 3.0 h were seen, by `streamwatch run` or `streamwatch calibrate`" in fit.err


def test_model_show_prints_thresholds_bounds_and_footage(learned: Path, cli: Cli) -> None:
    shown = cli("model", "show", "yard", *config(learned), "--json")
    document = json.loads(shown.out)
    zones = {(zone["zone"], zone["field"]): zone for zone in document["zones"]}
    assert set(zones) == {(zone, field) for zone in (None, "gate") for field in ("appearance", "motion")}
    whole, gate, motion = zones[None, "appearance"], zones["gate", "appearance"], zones[None, "motion"]
    assert (whole["budget_per_day"], gate["budget_per_day"]) == (12, 24)  # half of it for each field
    assert 0 < whole["end"] < whole["start"]
    assert whole["start"] > whole["highest_held"]
    assert 6 <= whole["footage_s"] <= 18  # of 24 s, what a model of the part before has scored
    assert motion["footage_s"] == pytest.approx(24, abs=0.5)  # speed needs no model
    assert whole["bound_per_day"] == pytest.approx(3 / whole["footage_s"] * 86400, rel=0.01)
    assert whole["provisional"]
    text = cli("model", "show", "yard", *config(learned)).out
    assert "normal.mp4" in text
    assert f"threshold {whole['start']:.2f}" in text
    alone = cli("model", "show", learned / "data/models/yard.safetensors")
    assert "threshold" in alone.out


def test_calibrate_on_other_footage_changes_thresholds_and_not_the_model(learned: Path, cli: Cli) -> None:
    path = learned / "data/models/yard.safetensors"
    before, _ = load_model(path, with_moments=True)
    replaced = json.loads(cli("calibrate", "yard", learned / "more.mp4", *config(learned), "--json").out)
    assert replaced["zones"][0]["footage_s"] == pytest.approx(15, abs=0.5)
    added = json.loads(cli("calibrate", "yard", learned / "normal.mp4", "--add", *config(learned), "--json").out)
    assert added["zones"][0]["footage_s"] == pytest.approx(39, abs=1)
    after, provenance = load_model(path, with_moments=True)
    assert before.gaussians_
    assert after.gaussians_
    assert (before.gaussians_.mean == after.gaussians_.mean).all()
    assert after.frames == before.frames
    assert provenance.sources == (str(learned / "normal.mp4"),)


def test_rollback_brings_the_model_before_back(learned: Path, cli: Cli) -> None:
    path = learned / "data/models/yard.safetensors"
    previous_path(path).unlink(missing_ok=True)
    assert cli("model", "rollback", "yard", *config(learned)).code == 2
    first = load_model(path)[1].fitted_at_s
    cli("fit", *config(learned), "yard")
    second = load_model(path)[1].fitted_at_s
    assert second > first
    assert cli("model", "rollback", "yard", *config(learned)).code == 0
    assert load_model(path)[1].fitted_at_s == first
    assert cli("model", "rollback", "yard", *config(learned)).code == 0
    assert load_model(path)[1].fitted_at_s == second
    history = cli("model", "history", "yard", *config(learned)).out.splitlines()
    assert re.fullmatch(r"\S+Z  yard  fitted by command: \d+ frames, .*", history[-3])
    assert all(re.fullmatch(r"\S+Z  yard  rolled back by command: the model of \S+ is back", line) for line in history[-2:])
    (*_, line) = json.loads(cli("model", "history", "yard", *config(learned), "--json").out)
    assert (line["model"], line["change"], line["fitted_at"]) == ("yard", "rolled back", second)


def test_thresholds_that_the_daemon_changed_are_shown_and_taken_back(learned: Path, cli: Cli) -> None:
    """As `run` writes them (tests/recalibration); the model stays as it is."""
    refused = cli("model", "rollback", "yard", "--thresholds", *config(learned))
    assert (refused.code, "could be taken back" in refused.err or "no event database" in refused.err) == (2, True)
    loaded = load_config(learned / "site.yaml")
    scenes = load_scenes(loaded, ["yard"])["yard"]
    bases = bases_of(loaded, "yard", scenes, scenes.first.model.regime)
    key, day = ("yard", scenes.first.model.regime), int(time.time() // 86_400)

    def held(count: int) -> tuple[LivePeaks, ...]:
        peaks = ((1000.0, round(time.time())),) * count
        return tuple(LivePeaks(zone, name, basis, peaks, ((day, 600.0),)) for (zone, name), basis in bases.items())

    watched = [held(0), held(2)]
    with database_of(loaded) as database:
        save_record(database, key, LiveRecord(watched[1], watched[1], (Snapshot(2.0, watched[1]), Snapshot(1.0, watched[0]))))

    def starts() -> list[float]:
        return [zone["start"] for zone in json.loads(cli("model", "show", "yard", *config(learned), "--json").out)["zones"]]

    raised = starts()
    assert all(start >= 1250 for start in raised)
    undone = cli("model", "rollback", "yard", "--thresholds", *config(learned))
    assert (undone.code, "appearance 1250.0 to " in undone.out) == (0, True)
    assert max(starts()) < 1000
    assert "thresholds undone by command" in cli("model", "history", "yard", *config(learned)).out
    assert cli("model", "rollback", "yard", "--thresholds", *config(learned)).code == 2
    with database_of(loaded) as database:
        assert load_records(database, ["yard"])[key] == LiveRecord(watched[0], watched[0], (), 1)
        save_record(database, key, LiveRecord(generation=1))


def test_backtest_raises_what_run_raises(learned: Path, cli: Cli) -> None:
    (learned / "labels.csv").write_text(f"start_s,end_s\n{INTRUDER_S[0]},{INTRUDER_S[1]}\n")
    page = learned / "backtest.html"
    done = cli(
        "backtest", "yard", learned / "today.mp4", *config(learned), "--labels", learned / "labels.csv", "--report", page,
        "--threshold", "1000", "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    document = json.loads(done.out)
    run = cli("run", *config(learned), "--until-eof")
    ended = [json.loads(line) for line in run.out.splitlines() if '"anomaly.ended"' in line]
    facts = ("zone", "start_s", "end_s", "peak_s", "peak_score", "boxes", "severity", "provisional", "start_threshold")
    assert [{k: e[k] for k in facts} for e in document["events"]] == [{k: e[k] for k in facts} for e in ended]
    assert len(ended) == 1
    assert (ended[0]["severity"], ended[0]["provisional"], ended[0]["zone"]) == ("alert", True, None)
    assert ended[0]["start_s"] == pytest.approx(INTRUDER_S[0], abs=0.5)
    chosen, by_hand, *budgets = document["table"]
    assert chosen["chosen"]
    assert (chosen["alarms"], chosen["figures"]["precision"], chosen["figures"]["recall"]) == (1, 1.0, 1.0)
    assert by_hand["alarms"] == 0
    assert [row["name"] for row in budgets] == ["10/hour", "1/hour", "10/day", "1/day", "1/week"]
    for field in ("appearance", "motion"):
        starts = [row["field_starts"][""][field] for row in budgets]
        assert starts == sorted(starts)
    assert chosen["starts"][""] == pytest.approx(budgets[1]["starts"][""])
    low, high = document["alarms_per_day_interval"]
    assert low < document["alarms_per_day"] < high
    text = page.read_text()
    assert text.count("data:image/jpeg;base64,") == len(document["events"]) + len(document["near_misses"])
    assert not (learned / "data/snapshots/near-misses").exists()


def test_backtest_says_what_is_wrong_with_labels(learned: Path, cli: Cli) -> None:
    bad = learned / "bad.csv"
    bad.write_text("from,to\n1,2\n")
    refused = cli("backtest", "yard", learned / "today.mp4", *config(learned), "--labels", bad)
    assert refused.code == 2
    assert "start_s" in refused.error_line
    for span in ("5,1", "nan,2", "1,inf", "-1,2", "a,b"):
        bad.write_text(f"start_s,end_s\n{span}\n")
        assert cli("backtest", "yard", learned / "today.mp4", *config(learned), "--labels", bad).code == 2
    assert cli("backtest", "yard", learned / "today.mp4", *config(learned), "--threshold", "nan").code == 2
    assert cli("backtest", "nobody", learned / "today.mp4", *config(learned)).code == 2
    assert cli("backtest", "yard", "rtsp://127.0.0.1:1/", *config(learned)).code == 2


def test_events_are_listed_shown_labelled_and_exported(learned: Path, cli: Cli) -> None:
    if not (learned / "data/events.db").exists():
        cli("run", *config(learned), "--until-eof")
    listed = json.loads(cli("events", "list", *config(learned), "--json").out)["events"]
    assert [event["camera"] for event in listed] == ["yard"] * len(listed)
    identity = listed[0]["id"]
    assert identity in cli("events", "list", *config(learned), "--since", "1h", "--severity", "alert").out
    assert cli("events", "list", *config(learned), "--camera", "other").err.strip() == "no events"
    assert cli("events", "list", *config(learned), "--until", "2020-01-31").err.strip() == "no events"
    assert cli("events", "label", *config(learned), identity, "anomaly").code == 0
    shown = json.loads(cli("events", "show", *config(learned), identity, "--json").out)
    assert (shown["label"], shown["id"]) == ("anomaly", identity)
    assert Path(shown["snapshot"]).is_file()
    assert re.search(
        r"levels: layer1 \d+% \(\d+, normally \d+ to \d+\), layer2", cli("events", "show", *config(learned), identity).out
    )
    rows = list(csv.DictReader(cli("events", "export", *config(learned)).out.splitlines()))
    assert [(row["id"], row["label"]) for row in rows] == [(event["id"], "anomaly") for event in listed[:1]] + [
        (event["id"], "") for event in listed[1:]
    ]
    out = learned / "events.json"
    cli("events", "export", *config(learned), "--format", "json", "--out", out, "--label", "anomaly")
    assert [event["id"] for event in json.loads(out.read_text())["events"]] == [identity]
    assert cli("events", "show", *config(learned), "zzz").code == 2
    assert cli("events", "list", *config(learned), "--since", "yesterday").code == 2


def anomalies_of(learned: Path, cli: Cli) -> list[dict[str, object]]:
    """What a run raises."""
    run = cli("run", *config(learned), "--until-eof")
    assert run.code == 0, run.err
    return [json.loads(line) for line in run.out.splitlines() if '"anomaly.ended"' in line]


def test_what_is_called_normal_stays_silent_until_that_is_taken_back(learned: Path, cli: Cli) -> None:
    path = learned / "data/models/yard.safetensors"
    (before,) = anomalies_of(learned, cli)
    known, untaught = load_model(path)[0].frames, load_model(path)[0].calibration_
    labelled = cli("events", "label", *config(learned), str(before["id"]), "normal")
    assert labelled.code == 0, labelled.err
    assert re.search(r"taught yard (9|1[0-6]) frames that count 1 times each", labelled.out), labelled.out
    taught, _ = load_model(path)
    anew = r"is appearance [\d.]+ \(it was [\d.]+\) and motion [\d.]+ \(it was [\d.]+\)"
    assert re.search(f"the threshold that keeps 1/hour, derived anew, {anew}", labelled.out), labelled.out
    assert taught.frames > known
    assert untaught
    assert taught.calibration_
    for before_, after in zip(untaught.zones, taught.calibration_.zones, strict=True):
        assert (after.zone, after.field, after.exposure_s) == (before_.zone, before_.field, before_.exposure_s)
        assert after.highest <= before_.highest
    assert taught.suppression_ is not None
    assert 0 < (taught.suppression_ > 1).mean() < 0.5
    assert anomalies_of(learned, cli) == []
    other = learned / "elsewhere.mp4"
    encode(other, with_intruder(120, ELSEWHERE), fps=RATE_HZ)
    backtested = cli("backtest", "yard", other, *config(learned), "--json")
    assert json.loads(backtested.out)["events"], "the same thing elsewhere is no longer seen"
    cli("fit", *config(learned), "yard")
    assert anomalies_of(learned, cli) == [], "a new fit forgot what was taught"
    base, _ = load_model(path.with_name("yard.lessons") / "base.safetensors")
    assert "no longer holds it" in cli("events", "label", *config(learned), str(before["id"]), "none").out
    (again,) = anomalies_of(learned, cli)
    assert again["peak_score"] == before["peak_score"]
    assert load_model(path)[0].frames == known
    assert load_model(path)[0].calibration_ == base.calibration_


def test_a_snoozed_or_disarmed_camera_raises_nothing(learned: Path, cli: Cli) -> None:
    assert cli("snooze", *config(learned)).out.strip() == "no camera is snoozed"
    assert "camera yard: no events until" in cli("snooze", *config(learned), "yard", "2h").out
    run = cli("run", *config(learned), "--until-eof")
    assert run.code == 0
    assert "anomaly" not in run.out
    assert cli("snooze", *config(learned), "yard", "off").out.strip() == "no camera is snoozed"
    document = json.loads((learned / "site.yaml").read_text())
    now = datetime.now().astimezone() + timedelta(hours=2)
    document["cameras"]["yard"]["schedule"] = [f"{now:%a %H}:00-{now:%H}:01"]
    (learned / "disarmed.yaml").write_text(json.dumps(document))
    assert "anomaly" not in cli("run", "-c", learned / "disarmed.yaml", "--until-eof").out
    assert cli("snooze", *config(learned), "yard").code == 2
    assert cli("snooze", *config(learned), "yard", "soon").code == 2
    assert cli("snooze", *config(learned), "nobody", "2h").code == 2


def test_there_is_no_database_before_the_first_run(site: Path, tmp_path: Path, cli: Cli) -> None:
    document = json.loads((site / "site.yaml").read_text())
    document["data_dir"] = str(tmp_path / "none")
    (tmp_path / "other.yaml").write_text(json.dumps(document))
    refused = cli("events", "list", "-c", tmp_path / "other.yaml")
    assert refused.code == 2
    assert "streamwatch run" in refused.error_line
    assert not (tmp_path / "none").exists()


def test_the_intruder_is_in_the_recording() -> None:
    frames = list(with_intruder(70))
    assert np.array_equal(frames[65][90, 40], [255, 240, 0])
    assert not np.array_equal(frames[59][90, 40], [255, 240, 0])
