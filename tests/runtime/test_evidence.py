"""Evidence of an event: what is written when, that it says what it is, and that nothing hidden is in it."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from streamwatch.records import Event, Frame, FrameScore, UInt8Array
from streamwatch.runtime.evidence import KINDS, EvidenceKeeper, check_document, evidence_of, path_of
from streamwatch.runtime.snapshots import Privacy
from tests.store.test_event_store import ended, event

PIXELS = np.zeros((256, 256, 3), np.uint8)


@dataclass
class Plain:
    """A decoded picture of one colour."""

    level: int
    width: int = 64
    height: int = 48

    def rgb(self) -> UInt8Array:
        return np.full((self.height, self.width, 3), self.level, np.uint8)


def scored(level: float, brightness: int) -> FrameScore:
    grid = np.full((64, 64), level, np.float32)
    frame = Frame("cam", 0, 0.0, 100.0, 0.0, PIXELS, Plain(brightness))
    return FrameScore(frame, level, grid, level, level, grid + 1)


def happens(keeper: EvidenceKeeper) -> Event:
    """An event that begins dark, peaks grey and ends bright."""
    opened = event()
    keeper.note_level(scored(11, 20), "", 11.0, keep=True)
    keeper.note(scored(11, 20), "")
    keeper.note_peak(scored(11, 20), "")
    keeper.begin(opened)
    for level, brightness in ((14, 120), (11, 220)):
        keeper.note(scored(level, brightness), "")
        if level == 14:
            keeper.note_peak(scored(level, brightness), "")
    keeper.finish(ended(opened))
    return opened


def brightness_of(path: Path) -> float:
    return float(np.asarray(cv2.imread(str(path))).mean())


def test_the_start_is_there_at_once_and_the_rest_at_the_end(tmp_path: Path) -> None:
    keeper, opened = EvidenceKeeper(tmp_path), event()
    keeper.note(scored(11, 20), "")
    keeper.begin(opened)
    assert [path.parent.name for path in evidence_of(tmp_path)[opened.id]] == ["starts"]
    happened = happens(EvidenceKeeper(tmp_path))
    written = {path.parent.name for path in evidence_of(tmp_path)[happened.id]}
    assert written == set(KINDS) - {"inputs", "clips"}
    assert brightness_of(path_of(tmp_path, "starts", happened.id)) == pytest.approx(20, abs=3)
    assert brightness_of(path_of(tmp_path, "peaks", happened.id)) == pytest.approx(120, abs=3)


def test_the_map_is_the_peaks_in_half_precision(tmp_path: Path) -> None:
    happened = happens(EvidenceKeeper(tmp_path))
    with np.load(io.BytesIO(path_of(tmp_path, "maps", happened.id).read_bytes())) as maps:
        assert maps["level"].dtype == np.float16
        assert (maps["score"] == 14).all()
        assert (maps["level"] == 15).all()


def test_the_document_says_how_it_came_about_and_every_file_is_as_it_says(tmp_path: Path) -> None:
    keeper = EvidenceKeeper(tmp_path)
    keeper.describe("cam", {"models": {"cam.safetensors": "ab"}, "config_sha256": "cd"})
    happened = happens(keeper)
    document = json.loads(path_of(tmp_path, "evidence", happened.id).read_text())
    assert document["event"]["id"] == happened.id
    assert document["made_by"]["models"] == {"cam.safetensors": "ab"}
    assert set(document["sha256"]) == {
        f"{k}/{happened.id}{KINDS[k]}" for k in ("starts", "peaks", "snapshots", "maps", "scores")
    }
    assert check_document(tmp_path, happened.id) == []
    path_of(tmp_path, "peaks", happened.id).write_bytes(b"another picture")
    path_of(tmp_path, "maps", happened.id).unlink()
    faults = check_document(tmp_path, happened.id)
    assert sorted(fault.rpartition(": ")[2] for fault in faults) == ["altered", "missing"]


def test_what_is_private_is_black_in_every_picture(tmp_path: Path) -> None:
    keeper = EvidenceKeeper(tmp_path)
    keeper.protect("cam", Privacy([[(0, 0), (1, 0), (1, 1), (0, 1)]]))
    happened = happens(keeper)
    for kind in ("starts", "peaks"):
        assert brightness_of(path_of(tmp_path, kind, happened.id)) < 3


def test_a_disk_that_refuses_stops_evidence_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where a folder should be")
    happens(EvidenceKeeper(tmp_path / "data"))


def test_what_came_to_nothing_is_no_start_of_what_follows(tmp_path: Path) -> None:
    keeper = EvidenceKeeper(tmp_path)
    keeper.note(scored(11, 250), "")
    keeper.forget("cam", "")
    happened = happens(keeper)
    assert brightness_of(path_of(tmp_path, "starts", happened.id)) == pytest.approx(20, abs=3)


def test_zones_have_evidence_of_their_own(tmp_path: Path) -> None:
    keeper, gate = EvidenceKeeper(tmp_path), replace(event(), zone="gate")
    keeper.note(scored(11, 200), "gate")
    happens(keeper)
    keeper.begin(gate)
    assert brightness_of(path_of(tmp_path, "starts", gate.id)) == pytest.approx(200, abs=3)
