"""What an export takes, whatever the number of events."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest

from benchmarks.store import fill
from streamwatch.errors import UsageError
from streamwatch.files import replaced_text
from streamwatch.store.event_store import EventQuery, EventStore
from streamwatch.store.export import write_events
from streamwatch.store.sessions import open_database

PER_EVENT_BYTES = 150
"""What may grow with their number: an id of 36 letters, and its place in a list."""


class Discarded(io.StringIO):
    """Counts what it is given."""

    length = 0

    def write(self, text: str) -> int:
        """Forget it."""
        self.length += len(text)
        return len(text)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EventStore]:
    engine = open_database(None, tmp_path)
    fill(engine, 6000)
    store = EventStore(engine)
    yield store
    store.close()


def peak_bytes(store: EventStore, form: str, file: TextIO, until_s: float | None = None) -> tuple[int, int]:
    """What the export held at once, and of how many events."""
    tracemalloc.start()
    written = write_events(store, EventQuery(limit=100, until_s=until_s), form, file)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak, len(written)


@pytest.mark.parametrize("form", ["csv", "json"])
def test_an_export_holds_a_page_and_not_all_events(store: EventStore, form: str) -> None:
    write_events(store, EventQuery(limit=100, until_s=1000), form, Discarded())
    few, count_of_few = peak_bytes(store, form, Discarded(), until_s=30_000)
    everything = Discarded()
    many, count_of_many = peak_bytes(store, form, everything)
    assert (count_of_few, count_of_many) == (1000, 6000)
    assert many - few < PER_EVENT_BYTES * (count_of_many - count_of_few) < everything.length


def test_every_event_is_there_once_the_newest_first(store: EventStore) -> None:
    as_json, as_csv = io.StringIO(), io.StringIO()
    ids = write_events(store, EventQuery(limit=700), "json", as_json)
    write_events(store, EventQuery(limit=700), "csv", as_csv)
    assert ids == sorted(ids, reverse=True)
    assert len(set(ids)) == 6000
    assert [event["id"] for event in json.loads(as_json.getvalue())["events"]] == ids
    assert [row["id"] for row in csv.DictReader(io.StringIO(as_csv.getvalue()))] == ids


def test_none_is_an_empty_document(store: EventStore) -> None:
    file = io.StringIO()
    assert write_events(store, EventQuery(since_s=1e12), "json", file) == []
    assert json.loads(file.getvalue()) == {"events": []}


def test_an_export_that_breaks_off_leaves_the_file_as_it_was(store: EventStore, tmp_path: Path) -> None:
    out = tmp_path / "events.csv"
    out.write_text("before")
    with contextlib.suppress(RuntimeError), replaced_text(out) as file:
        file.write("half")
        raise RuntimeError
    assert out.read_text() == "before"
    assert list(tmp_path.glob(".events*")) == []
    with pytest.raises(UsageError, match="cannot be written"), replaced_text(tmp_path / "no" / "events.csv"):
        pass
