"""Events survive: durable settings, migrations, crash recovery, no id twice."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, inspect, text

from benchmarks.store import fill, questions
from streamwatch.enums import EndReason, EventType, Severity
from streamwatch.errors import NotStorable, StoreError, UsageError
from streamwatch.ids import uuid7
from streamwatch.records import Box, Event, EventChange, LayerShare, Notice, Peak
from streamwatch.store import event_store
from streamwatch.store.event_store import EventQuery, EventStore
from streamwatch.store.sessions import open_database
from streamwatch.store.tables import metadata
from tests.databases import OpenDatabase


def event(start_s: float = 100.0, camera: str = "cam") -> Event:
    levels = (LayerShare("layer1", 0.75, 90.0, (1.5, 20.25)), LayerShare("layer2", 0.25, 30.0, (4.0, 40.0)))
    boxes = (Box(0, 0.25, 0.5, 1),)
    peak = Peak(12.5, start_s + 1, 1.0, boxes, (("appearance", 4.5),), levels, (0.25, 0.5), 0.125)
    return Event(uuid7(start_s), camera, "", start_s, 0.0, peak, 10.0, 6.0)


def ended(opened: Event) -> Event:
    return replace(opened, end_wall_s=opened.start_wall_s + 5, end_time_s=5.0, reason=EndReason.NORMAL)


@pytest.fixture
def store(open_store_database: OpenDatabase) -> Iterator[EventStore]:
    store = EventStore(open_store_database())
    yield store
    store.close()


def test_an_event_round_trips_through_its_life(store: EventStore) -> None:
    opened = event()
    store.record(EventChange(EventType.ANOMALY_STARTED, opened, 101))
    assert store.list_events(EventQuery(state="open")) == [opened]
    store.record(EventChange(EventType.ANOMALY_ENDED, ended(opened), 106))
    assert store.list_events() == [ended(opened)]
    assert store.list_events(EventQuery(state="open")) == []


def test_newest_first_by_camera_and_limit(store: EventStore) -> None:
    for start_s, camera in ((1, "a"), (3, "b"), (2, "a")):
        store.record(EventChange(EventType.ANOMALY_STARTED, event(start_s, camera), start_s))
    assert [e.start_wall_s for e in store.list_events()] == [3, 2, 1]
    assert [e.start_wall_s for e in store.list_events(EventQuery(camera="a", limit=1))] == [2]


def test_every_question_is_answered_from_an_index(tmp_path: Path) -> None:
    """At 20,000 events, as at a million (`make bench`): no question reads the table through, none sorts."""
    engine = open_database(None, tmp_path)
    fill(engine, 20_000)
    store = EventStore(engine)
    plans: dict[str, str] = {}
    with engine.connect() as connection:
        for name, query in questions(20_000, random.Random(0)).items():
            statement = event_store._select(query).compile(engine, compile_kwargs={"literal_binds": True})
            rows = connection.execute(text(f"EXPLAIN QUERY PLAN {statement}")).all()
            plans[name] = "; ".join(str(row[-1]) for row in rows)
    assert all("USING INDEX" in plan or "USING COVERING INDEX" in plan for plan in plans.values()), plans
    assert not [name for name, plan in plans.items() if "TEMP B-TREE" in plan], plans
    assert "events_by_end" in plans["open"]
    assert "events_by_camera_and_end" in plans["open of a camera"]
    store.close()


def test_pages_follow_each_other_without_a_gap(open_store_database: OpenDatabase) -> None:
    engine = open_store_database()
    fill(engine, 500)
    store = EventStore(engine)
    seen: list[str] = []
    query = EventQuery(limit=70)
    while page := store.list_events(query):
        seen += [event.id for event in page]
        query = replace(query, before=(page[-1].start_wall_s, page[-1].id))
    assert len(seen) == len(set(seen)) == 500
    assert seen == sorted(seen, reverse=True)
    assert len(store.list_events(EventQuery(state="open", limit=500))) == 16
    assert len(store.list_events(EventQuery(severity=Severity.ALERT, camera="cam3", limit=500))) == 2
    assert [e.id for e in store.list_events(EventQuery(since_s=300, until_s=360))] == seen[-12:-10]
    store.close()


def test_a_label_is_a_persons_and_no_change_of_the_event_touches_it(store: EventStore) -> None:
    opened = event()
    store.record(EventChange(EventType.ANOMALY_STARTED, opened, 101))
    store.label(opened.id, "normal")
    store.record(EventChange(EventType.ANOMALY_ENDED, ended(opened), 106))
    assert store.find(opened.id[:13]).label == "normal"
    assert [e.id for e in store.list_events(EventQuery(label="normal"))] == [opened.id]
    store.label(opened.id, None)
    assert store.find(opened.id).label is None
    with pytest.raises(UsageError, match="no event begins"):
        store.find("ffff")


def test_no_id_twice(store: EventStore) -> None:
    change = EventChange(EventType.ANOMALY_STARTED, event(), 1)
    store.record(change)
    with pytest.raises(StoreError, match="already stored"):
        store.record(change)


def test_what_a_crash_left_open_is_closed_at_its_peak(open_store_database: OpenDatabase) -> None:
    opened = event()
    first = EventStore(open_store_database())
    first.record(EventChange(EventType.ANOMALY_STARTED, opened, 1))
    first.close()
    second = EventStore(open_store_database())
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


def test_migrations_make_the_tables_that_the_code_declares(open_store_database: OpenDatabase) -> None:
    migrated, declared = open_store_database(), create_engine("sqlite://")
    metadata.create_all(declared)
    for table in metadata.tables:
        a, b = ([(c["name"], c["nullable"]) for c in inspect(e).get_columns(table)] for e in (migrated, declared))
        assert a == b
        assert index_names(migrated, table) == index_names(declared, table)
    if migrated.dialect.name == "sqlite":
        for table in metadata.tables:
            types = [[str(c["type"]) for c in inspect(e).get_columns(table)] for e in (migrated, declared)]
            assert types[0] == types[1]
    migrated.dispose()
    declared.dispose()


def index_names(engine: Engine, table: str) -> set[str | None]:
    return {index["name"] for index in inspect(engine).get_indexes(table)}


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "events.db").write_text("not a database " * 100)
    with pytest.raises(StoreError, match=r"events\.db"):
        open_database(None, tmp_path)


def test_a_password_is_never_shown(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as info:
        open_database("nodialect://user:s3cret@host/db", tmp_path)
    assert "s3cret" not in str(info.value)


def test_what_no_database_can_hold_is_a_fault_of_ours_and_not_the_databases(store: EventStore) -> None:
    """It would be tried again for ever, and everything behind it would wait."""
    strange = Notice("n", EventType.CAMERA_ONLINE, "cam", 0.0, (("value", object()),))  # type: ignore[arg-type]
    with pytest.raises((NotStorable, TypeError)):  # by the driver: either is told from a database that refuses
        store.record_notice(strange)
