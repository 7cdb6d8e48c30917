"""What cameras held survives, and a command that takes it back is not overwritten by the daemon."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import Engine

from streamwatch.records import LivePeaks
from streamwatch.store.live_peaks import (
    LiveRecord,
    SceneKey,
    Snapshot,
    load_generations,
    load_records,
    replace_record,
    save_record,
    save_watched,
)
from tests.databases import OpenDatabase

KEY: SceneKey = ("cam", None)
GREY: SceneKey = ("cam", "grey")
FIRST = LivePeaks("", "motion", "abc", ((12.5, 1_000.0), (3.0, 2_000.0)), ((0, 600.0), (1, 30.5)), ((12.5, 1_000.0),))
THEN = replace(FIRST, peaks=((20.0, 3_000.0), *FIRST.peaks))


@pytest.fixture
def database(open_store_database: OpenDatabase) -> Iterator[Engine]:
    engine = open_store_database()
    yield engine
    engine.dispose()


def test_records_round_trip_scene_by_scene(database: Engine) -> None:
    records = {KEY: LiveRecord((FIRST,)), GREY: LiveRecord((THEN,), (FIRST,), (Snapshot(5.0, ()),))}
    assert all(save_record(database, key, record) for key, record in records.items())
    assert load_records(database, ["cam", "other"]) == records
    assert load_records(database, ["other"]) == {}
    assert save_watched(database, {GREY: LiveRecord((FIRST,))}) == set()
    assert load_records(database, ["cam"])[GREY] == LiveRecord((FIRST,), (FIRST,), (Snapshot(5.0, ()),))
    assert save_watched(database, {("new", None): LiveRecord((FIRST,))}) == set()
    assert load_generations(database) == {KEY: 0, GREY: 0, ("new", None): 0}


def test_values_are_kept_to_six_digits_and_times_to_a_tenth_of_a_second(database: Engine) -> None:
    save_watched(database, {KEY: LiveRecord((replace(FIRST, peaks=((1.23456789, 5.44),)),))})
    assert load_records(database, ["cam"])[KEY].watched[0].peaks == ((1.23457, 5.4),)


def test_what_was_taken_back_is_not_written_over(database: Engine) -> None:
    running = LiveRecord((THEN,), (THEN,), (Snapshot(5.0, (FIRST,)),))
    save_record(database, KEY, running)
    left = LiveRecord((FIRST,), (FIRST,))
    assert replace_record(database, KEY, left)
    assert not replace_record(database, KEY, left)  # of that generation there is none any more
    assert save_watched(database, {KEY: running, GREY: LiveRecord((FIRST,))}) == {KEY}
    assert not save_record(database, KEY, running)
    assert load_records(database, ["cam"]) == {KEY: replace(left, generation=1), GREY: LiveRecord((FIRST,))}
    assert load_generations(database) == {KEY: 1, GREY: 0}
    assert save_watched(database, {KEY: LiveRecord((THEN,), generation=1)}) == set()
