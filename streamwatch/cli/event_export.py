"""Events written out a page at a time, as CSV or as one JSON document: the memory it takes does not grow with their number."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, TextIO

from streamwatch.documents import event_document
from streamwatch.records import Event
from streamwatch.store.event_store import EventQuery, EventStore

COLUMNS = (
    "id", "camera", "zone", "severity", "provisional", "label", "start", "end", "start_s", "end_s", "peak", "peak_s",
    "peak_score", "start_threshold", "end_threshold", "reason", "predecessor",
)  # fmt: skip


def stored_document(event: Event) -> dict[str, Any]:
    """An event as it is shown: with its label."""
    return {**event_document(event), "label": event.label}


def write_events(store: EventStore, query: EventQuery, form: str, file: TextIO) -> list[str]:
    """All events of a query, the newest first, ``query.limit`` at a time.

    Args:
        form: ``csv`` or ``json``.

    Returns:
        Their ids.

    Raises:
        StoreError: the database refused.
        OSError: the file did.
    """
    written: list[str] = []
    documents = _noted(_every(store, query), written)
    _write_json(documents, file) if form == "json" else _write_csv(documents, file)
    return written


def _every(store: EventStore, query: EventQuery) -> Iterator[Event]:
    """All pages of a query."""
    while page := store.list_events(query):
        yield from page
        query = replace(query, before=(page[-1].start_wall_s, page[-1].id))


def _noted(events: Iterator[Event], ids: list[str]) -> Iterator[dict[str, Any]]:
    for event in events:
        yield stored_document(event)
        ids.append(event.id)


def _write_json(documents: Iterator[dict[str, Any]], file: TextIO) -> None:
    separator = ""
    file.write('{"events": [')
    for document in documents:
        file.write(separator + json.dumps(document))
        separator = ", "
    file.write("]}\n")


def _write_csv(documents: Iterator[dict[str, Any]], file: TextIO) -> None:
    writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(documents)
