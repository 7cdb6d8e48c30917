"""What cameras held survives, and a command that takes it back is not overwritten by the daemon."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import Engine

from streamwatch.errors import UsageError
from streamwatch.records import LivePeaks
from streamwatch.store.live_peaks import LiveRecord, SceneKey, load_records, save_records, undo_record
from tests.databases import OpenDatabase

KEY: SceneKey = ("cam", None)
GREY: SceneKey = ("cam", "grey")
FIRST = LivePeaks("", "motion", "abc", ((12.5, 1_000.0), (3.0, 2_000.0)), ((0, 600.0), (1, 30.5)))
THEN = replace(FIRST, peaks=((20.0, 3_000.0), *FIRST.peaks))


@pytest.fixture
def database(open_store_database: OpenDatabase) -> Iterator[Engine]:
    engine = open_store_database()
    yield engine
    engine.dispose()


def test_records_round_trip_scene_by_scene(database: Engine) -> None:
    records = {KEY: LiveRecord((FIRST,)), GREY: LiveRecord((THEN,), (FIRST,), ())}
    assert save_records(database, records) == set()
    assert load_records(database, ["cam", "other"]) == records
    assert load_records(database, ["other"]) == {}
    later = {KEY: LiveRecord((THEN,), (FIRST,))}
    assert save_records(database, later) == set()
    assert load_records(database, ["cam"]) == {**records, **later}


def test_values_are_kept_to_six_digits_and_times_to_the_second(database: Engine) -> None:
    save_records(database, {KEY: LiveRecord((replace(FIRST, peaks=((1.23456789, 5.4),)),))})
    assert load_records(database, ["cam"])[KEY].watched[0].peaks == ((1.23457, 5.0),)


def test_what_was_taken_back_is_not_written_over(database: Engine) -> None:
    running = LiveRecord((THEN,), (THEN,), (FIRST,))
    save_records(database, {KEY: running})
    left = undo_record(database, KEY)
    assert left == LiveRecord((FIRST,), (FIRST,), None, 1)
    assert save_records(database, {KEY: running, GREY: LiveRecord((FIRST,))}) == {KEY}
    assert load_records(database, ["cam"]) == {KEY: left, GREY: LiveRecord((FIRST,))}
    assert save_records(database, {KEY: replace(left, watched=(THEN,))}) == set()


def test_nothing_to_take_back_is_said(database: Engine) -> None:
    with pytest.raises(UsageError, match="no threshold of cam"):
        undo_record(database, KEY)
    save_records(database, {KEY: LiveRecord((FIRST,), (FIRST,), None)})
    with pytest.raises(UsageError, match="no threshold of cam"):
        undo_record(database, KEY)
