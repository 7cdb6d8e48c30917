"""Evidence of an event: what is written when, that it says what it is, and that nothing hidden is in it."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from streamwatch.clock import SystemClock
from streamwatch.enums import EventType
from streamwatch.events.tracker import ZoneObservation
from streamwatch.evidence.collector import EventEvidence, EvidenceCollector
from streamwatch.evidence.layout import KINDS, evidence_of, path_of
from streamwatch.evidence.manifest import check_manifest
from streamwatch.evidence.privacy import Privacy
from streamwatch.evidence.writer import EvidenceWriter
from streamwatch.files import write_atomically
from streamwatch.records import Event, EventChange, Frame, UInt8Array
from streamwatch.scores import FrameScore
from streamwatch.threads import ThreadGuard
from tests.scores import frame_score
from tests.store.test_event_store import ended, event

PIXELS = np.zeros((256, 256, 3), np.uint8)


@dataclass
class Plain:
    """A decoded picture of one colour."""

    level: int
    width: int = 64
    height: int = 48

    def rgb(self, width: int | None = None) -> UInt8Array:
        return np.full((self.height, self.width, 3), self.level, np.uint8)


def scored(level: float, brightness: int) -> FrameScore:
    grid = np.full((64, 64), level, np.float32)
    frame = Frame("cam", 0, 0.0, 100.0, 0.0, PIXELS, Plain(brightness))
    return frame_score(frame, grid, level, level_grid=grid + 1)


class Keeper(EvidenceCollector):
    """A collector, and a writer that writes at once what comes out of it."""

    def __init__(self, folder: Path) -> None:
        self.writer = EvidenceWriter(folder)
        super().__init__(on_clip=self.writer.put)

    def sees(self, shown: FrameScore, zone: str = "", *, at_peak: bool = False) -> None:
        self.collect(shown, ZoneObservation(zone, shown.level, None, (), lasts=True, holds=True, at_peak=at_peak, idle=False))

    def tells(self, kind: EventType, changed: Event) -> None:
        evidence = self.evidence_of(EventChange(kind, changed, 0.0))
        assert evidence
        self.writer.put(evidence)
        self.writer.write_all()


def happens(keeper: Keeper) -> Event:
    """An event that begins dark, peaks grey and ends bright."""
    opened = event()
    keeper.sees(scored(11, 20), at_peak=True)
    keeper.tells(EventType.ANOMALY_STARTED, opened)
    for level, brightness in ((14, 120), (11, 220)):
        keeper.sees(scored(level, brightness), at_peak=level == 14)
    keeper.tells(EventType.ANOMALY_ENDED, ended(opened))
    return opened


def brightness_of(path: Path) -> float:
    return float(np.asarray(cv2.imread(str(path))).mean())


def test_the_start_is_there_at_once_and_the_rest_at_the_end(tmp_path: Path) -> None:
    keeper, opened = Keeper(tmp_path), event()
    keeper.sees(scored(11, 20))
    keeper.tells(EventType.ANOMALY_STARTED, opened)
    assert [path.parent.name for path in evidence_of(tmp_path)[opened.id]] == ["starts"]
    happened = happens(Keeper(tmp_path))
    written = {path.parent.name for path in evidence_of(tmp_path)[happened.id]}
    assert written == set(KINDS) - {"clips"}
    assert brightness_of(path_of(tmp_path, "starts", happened.id)) == pytest.approx(20, abs=3)
    assert brightness_of(path_of(tmp_path, "peaks", happened.id)) == pytest.approx(120, abs=3)


def test_the_map_is_the_peaks_in_half_precision(tmp_path: Path) -> None:
    happened = happens(Keeper(tmp_path))
    with np.load(io.BytesIO(path_of(tmp_path, "maps", happened.id).read_bytes())) as maps:
        assert maps["level"].dtype == np.float16
        assert (maps["score"] == 14).all()
        assert (maps["level"] == 15).all()


def test_the_document_says_how_it_came_about_and_every_file_is_as_it_says(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path)
    keeper.describe("cam", {"models": {"cam.safetensors": "ab"}, "config_sha256": "cd"})
    happened = happens(keeper)
    document = json.loads(path_of(tmp_path, "evidence", happened.id).read_text())
    assert document["event"]["id"] == happened.id
    assert document["made_by"]["models"] == {"cam.safetensors": "ab"}
    assert set(document["sha256"]) == {
        f"{k}/{happened.id}{KINDS[k]}" for k in ("starts", "peaks", "snapshots", "maps", "scores", "inputs")
    }
    assert check_manifest(tmp_path, happened.id) == []
    path_of(tmp_path, "peaks", happened.id).write_bytes(b"another picture")
    path_of(tmp_path, "maps", happened.id).unlink()
    faults = check_manifest(tmp_path, happened.id)
    assert sorted(fault.rpartition(": ")[2] for fault in faults) == ["altered", "missing"]


def test_what_is_private_is_black_in_every_picture(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path)
    keeper.protect("cam", Privacy([[(0, 0), (1, 0), (1, 1), (0, 1)]]))
    happened = happens(keeper)
    for kind in ("starts", "peaks"):
        assert brightness_of(path_of(tmp_path, kind, happened.id)) < 3


def test_a_disk_that_refuses_stops_evidence_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where a folder should be")
    happens(Keeper(tmp_path / "data"))


def test_a_defect_in_what_writes_costs_one_event_its_evidence_and_not_the_thread(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fails_once(path: Path, content: bytes) -> None:
        if told == []:
            raise ZeroDivisionError("a defect")
        write_atomically(path, content)

    told: list[bool] = []
    writer = EvidenceWriter(tmp_path, write=fails_once, on_written=told.append)
    writer.start(ThreadGuard(SystemClock()))
    first, second = event(), replace(event(), id="second")
    for opened in (first, second):
        writer.put(EventEvidence(opened, start=scored(11, 20)))
    assert writer.stop()
    assert told == [False, True]
    assert path_of(tmp_path, "starts", second.id).exists()
    assert "ZeroDivisionError" in caplog.text


def test_what_came_to_nothing_is_no_start_of_what_follows(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path)
    keeper.sees(scored(11, 250))
    keeper.forget("cam", "")
    happened = happens(keeper)
    assert brightness_of(path_of(tmp_path, "starts", happened.id)) == pytest.approx(20, abs=3)


def test_zones_have_evidence_of_their_own(tmp_path: Path) -> None:
    keeper, gate = Keeper(tmp_path), replace(event(), zone="gate")
    keeper.sees(scored(11, 200), "gate")
    happens(keeper)
    keeper.tells(EventType.ANOMALY_STARTED, gate)
    assert brightness_of(path_of(tmp_path, "starts", gate.id)) == pytest.approx(200, abs=3)
