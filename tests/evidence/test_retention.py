"""Retention: the oldest goes first, in small steps, what people marked stays, and files and rows agree afterwards."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from streamwatch.config.schema import Retention
from streamwatch.enums import EventType
from streamwatch.evidence.layout import evidence_of
from streamwatch.evidence.retention import ORPHAN_AFTER_S, STEP_EVENTS, RetentionTask, Usage
from streamwatch.metrics import Metrics
from streamwatch.records import Event, EventChange
from streamwatch.store.event_store import EventQuery, EventStore
from streamwatch.store.outbox.administration import OutboxAdministration
from streamwatch.store.sessions import open_database
from tests.store.test_event_store import ended, event
from tests.test_retry import FakeClock

DAY_S = 86_400.0
PICTURE_BYTES, INPUTS_BYTES = 600, 400


class House:
    """A data folder with events a day apart, and a disk of a size that is said."""

    def __init__(self, folder: Path) -> None:
        engine = open_database(None, folder)
        self.folder, self.store, self.metrics, self.clock = folder, EventStore(engine), Metrics(), FakeClock()
        self.rules = Retention.model_validate({"days": 3000, "max_bytes": "1GB", "min_free": "0%"})
        self.free_bytes, self.told = 10**9, list[bool]()
        self.retainer = RetentionTask(
            self.store,
            OutboxAdministration(engine),
            folder,
            lambda: self.rules,
            clock=self.clock,
            metrics=self.metrics,
            on_full=self.told.append,
            disk_usage=lambda _: Usage(10**9, 10**9 - self.free_bytes, self.free_bytes),
        )

    def add(self, days_ago: float, *, still_open: bool = False) -> str:
        happened = event(self.clock.wall_s() - days_ago * DAY_S)
        self.store.record(EventChange(EventType.ANOMALY_STARTED, happened, 0))
        if not still_open:
            self.store.record(EventChange(EventType.ANOMALY_ENDED, ended(happened), 0))
        self._write(happened)
        return happened.id

    def _write(self, happened: Event) -> None:
        for kind, size in (("snapshots/{}.jpg", PICTURE_BYTES), ("inputs/{}.npz", INPUTS_BYTES)):
            path = self.folder / kind.format(happened.id)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(bytes(size))

    def limit(self, **rules: object) -> None:
        self.rules = Retention.model_validate({"days": 3000, "max_bytes": "1GB", "min_free": "0%", **rules})

    @property
    def kept(self) -> set[str]:
        rows = {e.id for e in self.store.list_events(EventQuery(limit=1000))}
        assert set(evidence_of(self.folder)) == rows, "files and rows do not agree"
        return rows


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.store.close()


def test_what_is_old_goes_and_what_people_marked_stays(house: House) -> None:
    ids = [house.add(days) for days in (40, 35, 33, 10)]
    still_open = house.add(50, still_open=True)
    house.store.label(ids[1], "anomaly")
    house.store.mark_exported([ids[2]])
    house.limit(days=30)
    assert house.retainer.run_once() == 1
    assert house.kept == {*ids[1:], still_open}
    assert house.retainer.run_once() == 0


def test_the_oldest_go_until_the_rest_fits(house: House) -> None:
    ids = [house.add(days) for days in (5, 4, 3, 2, 1)]
    house.store.label(ids[0], "normal")
    house.limit(max_bytes=3 * (PICTURE_BYTES + INPUTS_BYTES) + 1)
    assert house.retainer.run_once() == 2
    assert house.kept == {ids[0], *ids[3:]}
    assert house.retainer.run_once() == 0


def test_the_oldest_go_until_the_disk_has_room(house: House) -> None:
    ids = [house.add(days) for days in (3, 2, 1)]
    house.limit(min_free="5%")
    house.free_bytes = round(0.05 * 10**9) - 1500
    assert house.retainer.run_once() == 2
    assert house.kept == {ids[2]}


def test_a_step_is_small(house: House) -> None:
    for number in range(STEP_EVENTS + 3):
        house.add(100 + number)
    house.limit(days=30)
    house.add(1)  # if all were too old, the clock would not be believed
    assert [house.retainer.run_once() for _ in range(3)] == [STEP_EVENTS, 3, 0]


def test_a_full_disk_of_which_nothing_may_go_is_told_once_and_so_is_its_end(house: House) -> None:
    house.store.label(house.add(1), "anomaly")
    house.limit(min_free="5%")
    house.free_bytes = 0
    for _ in range(3):
        house.retainer.run_once()
    house.free_bytes = 10**9
    house.retainer.run_once()
    assert house.told == [True, False]
    assert len(house.kept) == 1


def test_files_of_no_event_are_swept_up_when_no_event_can_be_on_its_way(house: House) -> None:
    lost = replace(event(house.clock.wall_s()))
    house._write(lost)
    for paths in evidence_of(house.folder).values():
        for path in paths:
            os.utime(path, (house.clock.wall_s(),) * 2)
    house.retainer.run_once()
    assert set(evidence_of(house.folder)) == {lost.id}
    house.clock.now_s += ORPHAN_AFTER_S + 1
    house.retainer.run_once()
    assert house.kept == set()


def test_what_is_kept_and_what_is_free_is_shown(house: House) -> None:
    house.add(1)
    house.add(2)
    house.retainer.run_once()
    value = house.metrics.registry.get_sample_value
    assert value("streamwatch_storage_bytes", {"kind": "snapshots"}) == 2 * PICTURE_BYTES
    assert value("streamwatch_storage_bytes", {"kind": "inputs"}) == 2 * INPUTS_BYTES
    assert value("streamwatch_storage_free_bytes") == 10**9
