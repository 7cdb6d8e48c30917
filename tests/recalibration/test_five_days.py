"""Five days alone, with values of a known tail for pictures; with real scoring it is `benchmarks/calibration_days.py`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.calibration_days import DAYS, READY_WITHIN_DAYS, allowed_alarms, live_through, normal_days
from benchmarks.watched_site import HELD, WatchedSite, with_thing
from streamwatch.enums import EventType
from streamwatch.model.calibration.thresholds import BUDGETS_TO_SUPPORT, DAY_S
from streamwatch.model.scoring.levels import APPEARANCE
from streamwatch.store.sessions import open_database

RATE_HZ, EVERY_S = 1.0, 600.0


def test_a_camera_left_alone_keeps_its_budget_and_sees_what_never_was(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    loops = [{name: held * (0.5 + 0.05 * rng.normal(size=60)) for name, held in HELD.items()} for _ in range(20)]
    database = open_database(None, tmp_path)
    site = WatchedSite(tmp_path, database, {"alarm_budget": "1/day"})
    outcome = live_through(
        site,
        normal_days(loops, rng, RATE_HZ),
        lambda block: with_thing(block, 300, 20, 3.0, APPEARANCE),
        rate_hz=RATE_HZ,
        every_s=EVERY_S,
    )
    database.dispose()
    assert outcome.ready_after_s is not None
    assert outcome.ready_after_s / DAY_S == pytest.approx(BUDGETS_TO_SUPPORT, abs=READY_WITHIN_DAYS)
    assert [notice.type for notice in site.notices] == [EventType.MODEL_READY]
    assert sum(outcome.alarms_by_day) <= allowed_alarms()[1]
    assert len(outcome.alarms_by_day) == DAYS
    assert outcome.lost_s <= EVERY_S
    assert outcome.found
