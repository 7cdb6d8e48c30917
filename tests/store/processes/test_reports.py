"""What processes say of themselves: the newest word of each, while it is young."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from streamwatch.errors import StoreError
from streamwatch.store.processes.leases import CameraLeases, count_leased
from streamwatch.store.processes.reports import (
    FORGOTTEN_AFTER_S,
    SILENT_AFTER_S,
    ProcessReport,
    forget_old,
    living,
    remove_report,
    write_report,
)
from streamwatch.store.sessions import open_database
from tests.databases import OpenDatabase
from tests.test_retry import FakeClock

NORTH = ProcessReport("north of a1", "north", "watch-1", "http://10.0.0.11:8466", "1.0.0", 5.0, {"cameras": []})
SOUTH = replace(NORTH, name="south of b2", shard="south", address=None)


def test_each_says_what_it_said_last(open_store_database: OpenDatabase) -> None:
    engine, clock = open_store_database(), FakeClock()
    for report in (SOUTH, NORTH, replace(NORTH, report={"cameras": [{"name": "dock"}]})):
        write_report(engine, report, clock)
    assert living(engine, clock) == [replace(NORTH, report={"cameras": [{"name": "dock"}]}), SOUTH]
    remove_report(engine, NORTH.name)
    assert living(engine, clock) == [SOUTH]
    engine.dispose()


def test_who_says_nothing_is_left_out_and_in_the_end_forgotten(tmp_path: Path) -> None:
    engine, clock = open_database(None, tmp_path), FakeClock()
    write_report(engine, NORTH, clock)
    clock.now_s += SILENT_AFTER_S + 1
    write_report(engine, SOUTH, clock)
    assert living(engine, clock) == [SOUTH]
    clock.now_s -= 2
    assert len(living(engine, clock)) == 2
    clock.now_s += FORGOTTEN_AFTER_S
    write_report(engine, SOUTH, clock)
    forget_old(engine, clock)
    clock.now_s -= FORGOTTEN_AFTER_S
    assert living(engine, clock) == [SOUTH]
    engine.dispose()


def test_a_database_that_is_gone_is_one_error(open_store_database: OpenDatabase) -> None:
    engine = open_store_database()
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE processes")
    with pytest.raises(StoreError, match="could not be told"):
        write_report(engine, NORTH, FakeClock())
    engine.dispose()


def test_leases_that_have_ended_count_no_camera(open_store_database: OpenDatabase) -> None:
    engine, clock = open_store_database(), FakeClock()
    CameraLeases(engine, "north", clock=clock, lasts_s=15.0).hold(["dock", "yard"])
    ended = CameraLeases(engine, "south", clock=clock, lasts_s=0.0)
    ended.hold(["gate"])
    assert count_leased(engine, clock, ["dock", "yard", "gate"]) == 2
    assert count_leased(engine, clock, ["dock", "gate"]) == 1, "what another site has is none of ours"
    assert count_leased(engine, clock, []) == 0
    engine.dispose()
