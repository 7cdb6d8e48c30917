"""Events survive: durable settings, migrations, crash recovery, no id twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect, text

from streamwatch.errors import StoreError
from streamwatch.events.ids import uuid7
from streamwatch.records import Box, Event, EventChange, Peak
from streamwatch.store.event_store import EventStore
from streamwatch.store.sessions import open_database
from streamwatch.store.tables import metadata


def event(start_s: float = 100.0, camera: str = "cam") -> Event:
    peak = Peak(12.5, start_s + 1, 1.0, (Box(0, 0.25, 0.5, 1),))
    return Event(uuid7(start_s), camera, "", start_s, 0.0, peak, 10.0, 6.0)


def ended(opened: Event) -> Event:
    return replace(opened, end_wall_s=opened.start_wall_s + 5, end_time_s=5.0, reason="normal")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EventStore]:
    store = EventStore(open_database(None, tmp_path))
    yield store
    store.close()


def test_an_event_round_trips_through_its_life(store: EventStore) -> None:
    opened = event()
    store.record(EventChange("anomaly.started", opened, 101))
    assert store.list_events(open_only=True) == [opened]
    store.record(EventChange("anomaly.ended", ended(opened), 106))
    assert store.list_events() == [ended(opened)]
    assert store.list_events(open_only=True) == []


def test_newest_first_by_camera_and_limit(store: EventStore) -> None:
    for start_s, camera in ((1, "a"), (3, "b"), (2, "a")):
        store.record(EventChange("anomaly.started", event(start_s, camera), start_s))
    assert [e.start_wall_s for e in store.list_events()] == [3, 2, 1]
    assert [e.start_wall_s for e in store.list_events(camera="a", limit=1)] == [2]


def test_no_id_twice(store: EventStore) -> None:
    change = EventChange("anomaly.started", event(), 1)
    store.record(change)
    with pytest.raises(StoreError, match="already stored"):
        store.record(change)


def test_what_a_crash_left_open_is_closed_at_its_peak(tmp_path: Path) -> None:
    opened = event()
    first = EventStore(open_database(None, tmp_path))
    first.record(EventChange("anomaly.started", opened, 1))
    first.close()
    second = EventStore(open_database(None, tmp_path))
    (closed,) = second.close_left_open()
    assert (closed.id, closed.reason, closed.end_wall_s) == (opened.id, "crash", opened.peak.wall_s)
    assert second.close_left_open() == []
    second.close()


def test_sqlite_is_durable(tmp_path: Path) -> None:
    engine = open_database(None, tmp_path)
    with engine.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2
    engine.dispose()


def test_migrations_make_the_tables_that_the_code_declares(tmp_path: Path) -> None:
    migrated = open_database(None, tmp_path)
    declared = create_engine("sqlite://")
    metadata.create_all(declared)
    for table in metadata.tables:
        a, b = (
            [(c["name"], str(c["type"]), c["nullable"]) for c in inspect(engine).get_columns(table)]
            for engine in (migrated, declared)
        )
        assert a == b
        assert {i["name"] for i in inspect(migrated).get_indexes(table)} == {
            i["name"] for i in inspect(declared).get_indexes(table)
        }
    migrated.dispose()
    declared.dispose()


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "events.db").write_text("not a database " * 100)
    with pytest.raises(StoreError, match=r"events\.db"):
        open_database(None, tmp_path)


def test_a_password_is_never_shown(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as info:
        open_database("nodialect://user:s3cret@host/db", tmp_path)
    assert "s3cret" not in str(info.value)
