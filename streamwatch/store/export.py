"""Events written out a page at a time, as CSV or as one JSON document: the memory it takes does not grow with their number."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, TextIO

from streamwatch.documents import event_document
from streamwatch.records import Event
from streamwatch.store.event_store import EventQuery, EventStore

COLUMNS = (
    "id", "camera", "zone", "severity", "provisional", "label", "start", "end", "start_s", "end_s", "peak", "peak_s",
    "peak_score", "start_threshold", "end_threshold", "reason", "predecessor", "note",
)  # fmt: skip


def stored_document(event: Event) -> dict[str, Any]:
    """An event as it is shown: with its label and its note."""
    return {**event_document(event), "label": event.label, "note": event.note}


def exported(store: EventStore, query: EventQuery, form: str, ids: list[str] | None = None) -> Iterator[str]:
    """All events of a query as text, the newest first, ``query.limit`` at a time.

    Args:
        form: ``csv`` or ``json``.
        ids: takes their ids as they are given out.

    Raises:
        StoreError: the database refused.
    """
    documents = _noted(_every(store, query), [] if ids is None else ids)
    return _json(documents) if form == "json" else _csv(documents)


def write_events(store: EventStore, query: EventQuery, form: str, file: TextIO) -> list[str]:
    """Write them to a file; their ids. Raises as ``exported``.

    Raises:
        OSError: the file refused.
    """
    ids: list[str] = []
    file.writelines(exported(store, query, form, ids))
    return ids


def _every(store: EventStore, query: EventQuery) -> Iterator[Event]:
    """All pages of a query."""
    while page := store.list_events(query):
        yield from page
        query = replace(query, before=(page[-1].start_wall_s, page[-1].id))


def _noted(events: Iterator[Event], ids: list[str]) -> Iterator[dict[str, Any]]:
    for event in events:
        yield stored_document(event)
        ids.append(event.id)


def _json(documents: Iterator[dict[str, Any]]) -> Iterator[str]:
    separator = '{"events": ['
    for document in documents:
        yield separator + json.dumps(document)
        separator = ", "
    yield "]}\n" if separator == ", " else '{"events": []}\n'


def _csv(documents: Iterator[dict[str, Any]]) -> Iterator[str]:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for document in documents:
        yield _taken(buffer)
        writer.writerow({name: _unformula(value) for name, value in document.items()})
    yield _taken(buffer)


def _taken(buffer: io.StringIO) -> str:
    text = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return text


def _unformula(value: Any) -> Any:
    """What people wrote is no formula in whoever's table (CWE-1236)."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t")) else value
