"""Calibration that ends by itself: thresholds follow what a watched camera holds, and nothing poisons them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from sqlalchemy import Engine

from benchmarks.calibration_days import Guard
from benchmarks.watched_site import FOOTAGE_S, HELD, WatchedSite, quiet, scenes_of, with_thing
from streamwatch.config.schema import Config
from streamwatch.enums import EventType, ModelChangeKind
from streamwatch.errors import StoreError
from streamwatch.model.calibration.thresholds import BUDGETS_TO_SUPPORT, DAY_S
from streamwatch.model.scoring.levels import APPEARANCE, MOTION
from streamwatch.scenes.model_files import CameraScenes
from streamwatch.scenes.model_history import read_history
from streamwatch.store.live_peaks import load_records, replace_record
from streamwatch.store.sessions import open_database
from streamwatch.store.tables import live_peaks

KEY = ("cam", None)
HOUR_S = 3600


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Engine]:
    engine = open_database(None, tmp_path)
    yield engine
    engine.dispose()


@pytest.fixture
def site(tmp_path: Path, database: Engine) -> WatchedSite:
    return WatchedSite(tmp_path, database, camera={"alarm_budget": "1/hour"})


def changes(site: WatchedSite) -> list[dict[str, object]]:
    return list(read_history(site.folder / "models" / "cam.safetensors"))


def watched_s(site: WatchedSite) -> float:
    return load_records(site.database, ["cam"])[KEY].watched[0].exposure_s


def test_a_camera_left_alone_for_as_long_as_its_budget_needs_ends_its_calibration(
    site: WatchedSite, rng: np.random.Generator
) -> None:
    needed_s = BUDGETS_TO_SUPPORT * HOUR_S - FOOTAGE_S
    site.watch(quiet(needed_s - 700, rng))
    assert site.policies()[""].policy.provisional
    assert not site.notices
    site.watch(quiet(1300, rng))
    assert not site.policies()[""].policy.provisional
    (ready,) = site.notices
    assert (ready.type, ready.camera, dict(ready.detail)["alarms_per_day"]) == (EventType.MODEL_READY, "cam", 24.0)
    assert [line["change"] for line in changes(site)] == [ModelChangeKind.THRESHOLDS] * len(changes(site))
    assert changes(site)[-1]["calibrating"] is False
    site.start()  # another process goes on where this one was
    site.watch(quiet(1300, rng))
    assert not site.policies()[""].policy.provisional
    assert len(site.notices) == 1


def test_normal_life_that_the_footage_did_not_show_raises_the_threshold(site: WatchedSite, rng: np.random.Generator) -> None:
    before = site.starts()
    for _ in range(3):
        site.watch(with_thing(quiet(1200, rng), 300, 60, 1.2))
    assert site.starts()[MOTION] > 1.1 * before[MOTION]
    assert site.starts()[APPEARANCE] == pytest.approx(before[APPEARANCE])
    assert site.applied >= len(changes(site)) > 0


def test_a_cameras_first_event_does_not_make_it_deaf_to_the_next(site: WatchedSite, rng: np.random.Generator) -> None:
    before = site.starts()
    site.watch(with_thing(quiet(1800, rng), 900, 30, 5.0))
    assert site.starts()[MOTION] == pytest.approx(before[MOTION])
    site.watch(with_thing(quiet(1800, rng), 900, 30, 5.0))  # the second in an hour that pays for one
    assert site.starts()[MOTION] > 5.0 * HELD[MOTION]


def test_events_that_a_person_calls_anomalies_leave_thresholds_alone(site: WatchedSite, rng: np.random.Generator) -> None:
    before = site.starts()
    for _ in range(3):
        began_s = site.clock.wall_s()
        site.watch(with_thing(quiet(1800, rng), 900, 30, 5.0))
        event = site.event(began_s + 900, 31.0, "anomaly")
    site.recalibrator.run_once()
    assert site.starts() == pytest.approx(before)
    heard = watched_s(site)
    assert heard == pytest.approx(3 * 1800, abs=3)  # all is kept: a label can be taken back
    site.recalibrator._events.label(event.id, None)
    for _ in range(2):
        site.event(site.clock.wall_s() - 10, 1.0, None)
    site.watch(with_thing(quiet(1800, rng), 900, 30, 5.0))
    assert site.starts()[MOTION] > 5.0 * HELD[MOTION]  # two are left that nobody called anything


def test_a_thing_that_stands_there_for_an_hour_counts_once(site: WatchedSite, rng: np.random.Generator) -> None:
    site.watch(quiet(1800, rng))
    stands = quiet(HOUR_S, rng)
    stands[APPEARANCE] = HELD[APPEARANCE] * (1.15 + 0.02 * rng.normal(size=HOUR_S))
    site.watch(stands)
    site.watch(quiet(1800, rng))
    (of_field,) = (of for of in load_records(site.database, ["cam"])[KEY].watched if of.field == APPEARANCE)
    assert sum(value > HELD[APPEARANCE] for value, _ in of_field.peaks) == 1
    assert site.starts()[APPEARANCE] == pytest.approx(1.25 * HELD[APPEARANCE])


def test_a_process_that_ends_without_a_word_loses_a_minute_at_most(site: WatchedSite, rng: np.random.Generator) -> None:
    site.watch(quiet(HOUR_S + 29, rng), every_s=30.0)
    site.start()
    assert watched_s(site) >= HOUR_S + 29 - 60
    site.watch(quiet(600, rng), every_s=30.0)
    assert HOUR_S + 629 - 60 - 30 <= watched_s(site) <= HOUR_S + 629


def test_a_database_that_refuses_costs_nothing(site: WatchedSite, rng: np.random.Generator) -> None:
    site.watch(quiet(600, rng))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("streamwatch.recalibration.recalibrator.save_watched", _refuse)
        with pytest.raises(StoreError):
            site.watch(quiet(600, rng), every_s=300.0)
    site.watch(quiet(600, rng))
    assert watched_s(site) >= 600 + 300 + 600 - 3


def _refuse(*_: object) -> NoReturn:
    raise StoreError("the database is away", hint="wait")


def test_what_could_not_be_put_to_work_is_the_next_time(site: WatchedSite, rng: np.random.Generator) -> None:
    """A reload came between; or the policy could not be made just then."""
    overtaken: list[Callable[[], None]] = []

    def apply(_config: Config, _camera: str, _scenes: CameraScenes, on_overtaken: Callable[[], None]) -> None:
        overtaken.append(on_overtaken)

    site.recalibrator._fleet = replace(site.recalibrator._fleet, apply=apply)
    site.watch(quiet(600, rng))
    before = len(overtaken)
    site.recalibrator.run_once()
    assert len(overtaken) == before > 0
    overtaken[-1]()
    site.recalibrator.run_once()
    assert len(overtaken) == before + 1
    overtaken[-1]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(site.recalibrator, "_fleet", replace(site.recalibrator._fleet, apply=_refuse))
        with pytest.raises(StoreError):
            site.recalibrator.run_once()
    site.recalibrator.run_once()
    assert len(overtaken) == before + 2
    site.camera["alarm_budget"] = "2/hour"  # a reload that read what was in force before
    site.recalibrator.run_once()
    assert len(overtaken) == before + 3


def test_a_database_that_is_deleted_is_written_again(site: WatchedSite, rng: np.random.Generator) -> None:
    site.watch(quiet(1200, rng))
    with site.database.begin() as connection:
        connection.execute(live_peaks.delete())
    site.watch(quiet(700, rng))
    assert watched_s(site) >= 1790


def test_taken_back_while_it_runs(site: WatchedSite, rng: np.random.Generator) -> None:
    site.watch(quiet(1200, rng))
    site.watch(with_thing(with_thing(quiet(1200, rng), 300, 60, 1.2), 800, 60, 1.2))
    then, then_s = site.starts(), watched_s(site)
    site.watch(with_thing(with_thing(quiet(1200, rng), 300, 60, 2.0), 800, 60, 2.0))
    assert site.starts()[MOTION] > then[MOTION]
    record = load_records(site.database, ["cam"])[KEY]
    earlier = record.earlier[0].applied
    assert replace_record(site.database, KEY, replace(record, watched=earlier, applied=earlier, earlier=()))
    lines = len(changes(site))
    site.watch(quiet(1200, rng))
    assert site.starts() == pytest.approx(then, rel=0.01)
    assert len(changes(site)) <= lines + 1
    assert watched_s(site) < then_s + 1300  # 3600 had been watched before
    assert not site.measures.take("cam")


def test_a_camera_that_was_away_goes_on_where_it_was(site: WatchedSite, rng: np.random.Generator) -> None:
    site.camera["threshold"] = 1.5  # never derived, and so never applied
    site.watch(quiet(3600, rng), every_s=300.0)
    before_s = watched_s(site)
    known, site.scenes = site.scenes, None  # type: ignore[assignment]
    site.recalibrator.run_once()
    site.scenes = known
    site.watch(quiet(600, rng), every_s=300.0)
    assert watched_s(site) > before_s + 290


def test_a_zone_that_is_armed_for_some_hours_ends_its_calibration_too(site: WatchedSite, rng: np.random.Generator) -> None:
    site.camera["alarm_budget"] = "1/day"
    for _ in range(13):
        site.watch(quiet(DAY_S / 4, rng), every_s=1800.0)
        site.clock.now_s += 0.75 * DAY_S
    assert not site.policies()[""].policy.provisional
    assert len(site.notices) == 1


def test_one_bad_night_does_not_crowd_out_all_other_days(site: WatchedSite, rng: np.random.Generator) -> None:
    site.camera["alarm_budget"] = "1/day"
    usual = quiet(DAY_S / 2, rng)
    for at in range(0, int(DAY_S / 2), 600):
        usual[MOTION][at : at + 8] = HELD[MOTION] * rng.uniform(0.7, 1.0)
    site.watch(usual, every_s=3600.0)
    storm = quiet(6 * HOUR_S, rng)
    storm[MOTION][np.arange(len(storm[MOTION])) % 90 < 20] = 3 * HELD[MOTION]
    site.watch(storm, every_s=3600.0)
    site.clock.now_s += DAY_S / 4
    site.watch(usual, every_s=3600.0)
    (of_field,) = (of for of in load_records(site.database, ["cam"])[KEY].watched if of.field == MOTION)
    days = {int(at_s // DAY_S) for value, at_s in of_field.peaks if value < 2 * HELD[MOTION]}
    assert len(days) >= 2
    assert len(of_field.peaks) <= 600 + 60


def test_how_high_an_event_was_says_nothing_while_the_budget_pays_for_it(site: WatchedSite, rng: np.random.Generator) -> None:
    busy = quiet(4 * HOUR_S, rng)
    for at in range(0, 4 * HOUR_S, 400):
        busy[MOTION][at : at + 8] = HELD[MOTION] * rng.uniform(0.7, 1.0)
    site.watch(busy)
    before = site.starts()[MOTION]
    assert not site.policies()[""].policy.provisional
    site.watch(with_thing(quiet(1200, rng), 600, 20, 50.0))
    assert site.starts()[MOTION] < 1.3 * before


def test_a_thing_that_pulses_beyond_the_threshold_is_not_told_for_ever(site: WatchedSite, rng: np.random.Generator) -> None:
    """Each time counts, because each is told; however the pulses hang together."""
    pulsing = quiet(2 * HOUR_S, rng)
    pulsing[MOTION][:] = 1.12 * HELD[MOTION]
    pulsing[MOTION][np.arange(len(pulsing[MOTION])) % 60 < 10] = 1.35 * HELD[MOTION]
    guard, alarms_by_part = Guard(site), list[int]()
    for at in range(0, 2 * HOUR_S, 600):
        part = {name: values[at : at + 600] for name, values in pulsing.items()}
        alarms_by_part.append(guard.raised(part, 1.0))
        site.watch(part, every_s=30.0)
    assert alarms_by_part[0] > 2
    assert sum(alarms_by_part[1:]) <= 2  # 1/hour
    assert site.starts()[MOTION] > 1.35 * HELD[MOTION]


def test_a_zone_that_the_model_does_not_know_is_not_ready_for_it(
    tmp_path: Path, database: Engine, rng: np.random.Generator
) -> None:
    door = {"door": {"polygon": [[0.0, 0.0], [0.5, 0.0], [0.5, 1.0], [0.0, 1.0]]}}
    site = WatchedSite(tmp_path, database, {"alarm_budget": "1/hour", "zones": door})
    site.watch(quiet(4 * HOUR_S, rng))  # nothing of the door
    assert not site.notices
    site.watch(quiet(4 * HOUR_S, rng), zone="door")
    assert [notice.type for notice in site.notices] == [EventType.MODEL_READY]
    assert not any(calibrated.policy.provisional for calibrated in site.policies().values())


@pytest.mark.parametrize("what", ["another model", "another zone", "other rules"])
def test_what_rests_on_something_else_says_nothing(site: WatchedSite, rng: np.random.Generator, what: str) -> None:
    site.watch(with_thing(with_thing(quiet(2400, rng), 300, 60, 2.0), 800, 60, 2.0))
    assert site.starts()[MOTION] > 2 * HELD[MOTION]
    if what == "another model":
        site.scenes = scenes_of(learned_at_s=2.0)
    elif what == "another zone":
        site.camera["ignore"] = [[[0.0, 0.0], [0.5, 0.0], [0.5, 0.5]]]
    else:
        site.camera["min_duration"] = "2s"
    assert site.starts()[MOTION] == pytest.approx(1.25 * HELD[MOTION])
    site.watch(quiet(1200, rng))
    assert site.starts()[MOTION] == pytest.approx(1.25 * HELD[MOTION])
    assert watched_s(site) < 1300


def test_a_nights_update_leaves_what_was_watched(site: WatchedSite, rng: np.random.Generator) -> None:
    site.watch(quiet(1200, rng))
    site.scenes = scenes_of()  # loaded anew
    site.watch(quiet(1200, rng))
    assert watched_s(site) == pytest.approx(2400, abs=10)


def test_a_threshold_by_hand_stays(site: WatchedSite, rng: np.random.Generator) -> None:
    site.camera["threshold"] = 1.5
    site.watch(with_thing(with_thing(quiet(2400, rng), 300, 60, 2.0), 800, 60, 2.0))
    assert not changes(site)
    assert site.applied <= 1  # what is in force at the start
    assert watched_s(site) > 2000  # for the day when it is `auto` again


def test_zones_are_calibrated_each_by_itself(tmp_path: Path, database: Engine, rng: np.random.Generator) -> None:
    left = {"left": {"polygon": [[0.0, 0.0], [0.5, 0.0], [0.5, 1.0], [0.0, 1.0]]}}
    site = WatchedSite(tmp_path, database, {"alarm_budget": "1/hour", "zones": left}, scenes_of("left"))
    site.watch(with_thing(with_thing(quiet(2400, rng), 300, 60, 2.0), 800, 60, 2.0), zone="left")
    assert site.starts("left")[MOTION] > 2 * HELD[MOTION]
    assert site.starts("")[MOTION] == pytest.approx(1.25 * HELD[MOTION])
