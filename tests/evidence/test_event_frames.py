"""What the model saw of events: chosen evenly, written when they end, the oldest making room."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamwatch.enums import EndReason
from streamwatch.evidence.collector import EventEvidence
from streamwatch.evidence.event_frames import MAX_EVENTS, MAX_FRAMES, EventFrameSampler, inputs_path, load_frames
from streamwatch.evidence.writer import EvidenceWriter
from streamwatch.records import Event, Frame, Peak
from streamwatch.scores import FrameScore
from tests.scores import frame_score


def scored(number: int, level: float = 9.0) -> FrameScore:
    frame = Frame("cam", number, float(number), float(number), 0.0, np.full((256, 256, 3), number % 256, np.uint8))
    grid = np.zeros((64, 64), np.float32)
    grid[10, number % 64] = level
    return frame_score(frame, grid, level)


def event(identity: str = "id") -> Event:
    return Event(identity, "cam", "", 0.0, 0.0, Peak(9.0, 1.0, 1.0), 5.0, 4.0, 2.0, 2.0, EndReason.NORMAL)


class Inputs(EventFrameSampler):
    """A sampler, and what writes what it held."""

    def __init__(self, folder: Path, may_keep: Callable[[str], bool] = lambda _: True) -> None:
        super().__init__(may_keep)
        self.folder = folder

    def write(self, ended: Event) -> Path | None:
        sample = self.take(ended.camera, ended.zone)
        writer = EvidenceWriter(self.folder)
        writer.put(EventEvidence(ended, frames=sample))
        writer.write_all()
        path = inputs_path(self.folder / "inputs", ended.id)
        return path if sample is not None and path.exists() else None


@given(st.integers(1, 300))
def test_few_frames_are_kept_evenly_of_however_many(count: int) -> None:
    inputs = EventFrameSampler()
    for number in range(count):
        inputs.record(scored(number), "", None)
    sample = inputs.take("cam", "")
    assert sample
    kept = [frame.index for frame in sample.frames]
    assert min(count, MAX_FRAMES // 2) <= len(kept) <= MAX_FRAMES
    assert len(set(np.diff(kept))) <= 1
    assert kept[0] == 0
    assert count - 1 - kept[-1] < sample.every


def test_what_is_kept_is_written_when_the_event_ends_and_holds_every_cells_highest_level(tmp_path: Path) -> None:
    inputs = Inputs(tmp_path)
    zone = np.ones((64, 64), bool)
    zone[:, 30:] = False
    for number in range(40):
        inputs.record(scored(number, level=9.0 + number), "", zone)
    path = inputs.write(event())
    assert path
    kept = load_frames(path)
    assert kept
    assert kept.level[10, 29] == 38.0
    assert not kept.level[:, 30:].any()
    assert np.isnan(kept.speed).all()
    assert inputs.write(event()) is None


def test_what_came_to_nothing_or_must_not_be_stored_is_not(tmp_path: Path) -> None:
    inputs = Inputs(tmp_path)
    inputs.record(scored(0), "", None)
    inputs.forget("cam", "")
    assert inputs.write(event()) is None
    private = Inputs(tmp_path, lambda _camera: False)
    private.record(scored(0), "", None)
    assert private.write(event()) is None
    assert load_frames(tmp_path / "inputs/id.npz") is None


def test_the_oldest_events_make_room(tmp_path: Path) -> None:
    folder = tmp_path / "inputs"
    folder.mkdir()
    for number in range(MAX_EVENTS + 3):
        (folder / f"a{number:04d}.npz").touch()
    inputs = Inputs(tmp_path)
    inputs.record(scored(0), "", None)
    inputs.write(event("b"))
    left = sorted(path.name for path in folder.glob("*.npz"))
    assert len(left) == MAX_EVENTS
    assert (left[0], left[-1]) == ("a0004.npz", "b.npz")


def test_a_full_disk_stops_no_detection(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    inputs = Inputs(tmp_path / "file")
    inputs.record(scored(0), "", None)
    assert inputs.write(event()) is None
