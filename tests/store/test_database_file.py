"""A database whose file is removed or replaced while it is in use: noticed, and nothing is written where nobody reads it."""

from __future__ import annotations

import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from streamwatch.enums import EventType
from streamwatch.errors import StoreError
from streamwatch.records import EventChange
from streamwatch.store.database_file import DatabaseFile
from streamwatch.store.event_store import EventStore
from streamwatch.store.sessions import open_database, rebuild_tables
from tests.store.test_event_store import ended, event


def starts(number: int) -> EventChange:
    return EventChange(EventType.ANOMALY_STARTED, replace(event(), id=f"event-{number}"), 0.0)


def test_a_file_that_was_removed_is_noticed_and_made_again(tmp_path: Path) -> None:
    engine = open_database(None, tmp_path)
    store, file = EventStore(engine), DatabaseFile(engine)
    store.record(starts(1))
    assert not file.has_changed()
    for path in tmp_path.glob("events.db*"):
        path.unlink()
    with pytest.raises(StoreError):
        store.record(starts(2))  # and not into a file that has no name any more
    assert file.has_changed()
    rebuild_tables(engine)
    store.record(starts(2))
    store.record(EventChange(EventType.ANOMALY_ENDED, ended(starts(1).event), 0.0))
    assert {e.id for e in store.list_events()} == {"event-1", "event-2"}, "an event that was open has its row again"
    again = DatabaseFile(engine)
    assert not again.has_changed()
    again.close()
    file.close()
    store.close()


def test_a_file_that_was_replaced_by_an_older_one_is_used_from_then_on(tmp_path: Path) -> None:
    engine = open_database(None, tmp_path)
    store, file = EventStore(engine), DatabaseFile(engine)
    store.record(starts(1))
    with sqlite3.connect(tmp_path / "backup.db") as copy, sqlite3.connect(tmp_path / "events.db") as source:
        source.backup(copy)
    copy.close()
    source.close()
    store.record(starts(2))
    for path in tmp_path.glob("events.db-*"):
        path.unlink()
    shutil.move(tmp_path / "backup.db", tmp_path / "events.db")
    assert [e.id for e in store.list_events()] == ["event-1"], "at once: a connection to the other file is not used again"
    assert file.has_changed()
    rebuild_tables(engine)
    store.record(starts(3))
    assert {e.id for e in store.list_events()} == {"event-1", "event-3"}
    file.close()
    store.close()


def test_a_folder_that_is_gone_is_a_refusal_that_may_pass(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    engine = open_database(None, folder)
    store, file = EventStore(engine), DatabaseFile(engine)
    shutil.rmtree(folder)
    assert file.has_changed()
    assert file.has_changed(), "and still is"
    with pytest.raises(StoreError):
        rebuild_tables(engine)
    folder.mkdir()
    rebuild_tables(engine)
    store.record(starts(1))
    assert len(store.list_events()) == 1
    file.close()
    store.close()
