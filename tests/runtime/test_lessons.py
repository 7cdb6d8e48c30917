"""What is kept of events, and what a lesson does to a model; the whole way is in tests/cli/test_alarm_commands.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from streamwatch.errors import ModelFileError
from streamwatch.model.moments import Moments
from streamwatch.model.normal_levels import LevelsNoted, NormalLevels
from streamwatch.model.rehearsal import GAP_S
from streamwatch.records import Event, Frame, FrameScore, Peak
from streamwatch.runtime.calibrating import AlarmTerms, calibration_of, recalibrated
from streamwatch.runtime.event_inputs import MOST_EVENTS, MOST_FRAMES, EventInputs, load_frames
from streamwatch.runtime.lessons import AROUND_CELLS, SILENCED_TO, LessonBook, allowance_for, weight_of

SUMS_RELATIVE_TOLERANCE = 1e-5


def scored(number: int, level: float = 9.0) -> FrameScore:
    frame = Frame("cam", number, float(number), float(number), 0.0, np.full((256, 256, 3), number % 256, np.uint8))
    grid = np.zeros((64, 64), np.float32)
    grid[10, number % 64] = level
    return FrameScore(frame, level, grid, level, level, grid)


def event(identity: str = "id") -> Event:
    return Event(identity, "cam", "", 0.0, 0.0, Peak(9.0, 1.0, 1.0), 5.0, 4.0, 2.0, 2.0, "normal")


@given(st.integers(1, 300))
def test_few_frames_are_kept_evenly_of_however_many(count: int) -> None:
    inputs = EventInputs(Path("/nowhere"))
    for number in range(count):
        inputs.note(scored(number), "", None)
    sample = inputs._samples["cam", ""]
    kept = [frame.index for frame in sample.frames]
    assert min(count, MOST_FRAMES // 2) <= len(kept) <= MOST_FRAMES
    assert len(set(np.diff(kept))) <= 1
    assert kept[0] == 0
    assert count - 1 - kept[-1] < sample.every


def test_what_is_kept_is_written_when_the_event_ends_and_holds_every_cells_highest_level(tmp_path: Path) -> None:
    inputs = EventInputs(tmp_path)
    zone = np.ones((64, 64), bool)
    zone[:, 30:] = False
    for number in range(40):
        inputs.note(scored(number, level=9.0 + number), "", zone)
    path = inputs.write(event())
    assert path
    kept = load_frames(path)
    assert kept
    assert kept.level[10, 29] == 38.0
    assert not kept.level[:, 30:].any()
    assert np.isnan(kept.speed).all()
    assert inputs.write(event()) is None


def test_what_came_to_nothing_or_must_not_be_stored_is_not(tmp_path: Path) -> None:
    inputs = EventInputs(tmp_path)
    inputs.note(scored(0), "", None)
    inputs.forget("cam", "")
    assert inputs.write(event()) is None
    private = EventInputs(tmp_path, lambda _camera: False)
    private.note(scored(0), "", None)
    assert private.write(event()) is None
    assert load_frames(tmp_path / "id.npz") is None


def test_the_oldest_events_make_room(tmp_path: Path) -> None:
    for number in range(MOST_EVENTS + 3):
        (tmp_path / f"a{number:04d}.npz").touch()
    inputs = EventInputs(tmp_path)
    inputs.note(scored(0), "", None)
    inputs.write(event("b"))
    left = sorted(path.name for path in tmp_path.glob("*.npz"))
    assert len(left) == MOST_EVENTS
    assert (left[0], left[-1]) == ("a0004.npz", "b.npz")


def test_a_full_disk_stops_no_detection(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    inputs = EventInputs(tmp_path / "file")
    inputs.note(scored(0), "", None)
    assert inputs.write(event()) is None


def test_an_event_weighs_one_percent_and_every_frame_at_least_once() -> None:
    assert weight_of(5000, 10) == 5
    assert weight_of(300, 16) == 1


@given(st.floats(0.1, 100), st.integers(0, 63), st.integers(0, 63))
def test_a_repeat_two_cells_off_stays_below_the_end_threshold_and_stronger_does_not(
    level: float, row: int, column: int
) -> None:
    end = 4.0
    grid = np.zeros((64, 64), np.float32)
    grid[row, column] = level
    allowance = allowance_for(grid, end, None)
    assert (allowance >= 1).all()
    for moved in (-AROUND_CELLS, 0, AROUND_CELLS):
        at = (min(max(row + moved, 0), 63), column)
        assert level / allowance[at] <= 1.0001 * SILENCED_TO * end
        assert 2 * level / allowance[at] >= min(2 * level, 1.99 * SILENCED_TO * end)
    assert (np.maximum(allowance, 3.0) == allowance_for(grid, end, np.full((64, 64), 3.0, np.float32))).all()


def normal_footage() -> NormalLevels:
    """Ten minutes: calm, but for something in the corner for 2 s every 20 s, and something weaker elsewhere every 30 s."""
    noted = LevelsNoted({"": None})
    rng = np.random.default_rng(3)
    for number in range(3000):
        at_s, grid = number / 5, rng.uniform(0.5, 1.0, (64, 64)).astype(np.float32)
        grid[0:8, 0:8] *= 9.0 + rng.uniform() if at_s % 20 < 2 else 1.0
        grid[40:48, 40:48] *= 3.0 + rng.uniform() if at_s % 30 < 2 else 1.0
        noted.add(at_s, grid)
    levels = noted.found()
    assert levels
    return levels


def test_thresholds_are_derived_anew_from_what_is_left_of_normal_levels() -> None:
    levels, terms = normal_footage(), AlarmTerms(cooldown_s=2.0)
    fitted = calibration_of({"": levels.streams("", None, GAP_S)}, terms, [0.1, 0.2])
    assert fitted
    same = recalibrated(fitted, levels, None, terms)
    assert same == fitted
    allowance = np.ones((64, 64), np.float32)
    allowance[0:8, 0:8] = 10.0
    found = recalibrated(fitted, levels, allowance, terms)
    before, after = (c.peaks_of("") for c in (fitted, found))
    assert before
    assert after
    assert before.highest > 9
    assert 3.0 < after.highest < 4.01  # what is elsewhere is what is left
    assert after.end_threshold < before.end_threshold
    assert (found.calm_spread, found.frames) == (fitted.calm_spread, 3000)


def test_thresholds_stay_where_the_levels_they_came_from_are_not_known() -> None:
    levels, terms = normal_footage(), AlarmTerms()
    fitted = calibration_of({"": levels.streams("", None, GAP_S)}, terms)
    assert fitted
    assert recalibrated(fitted, None, None, terms) is fitted
    assert recalibrated(fitted, levels, None, AlarmTerms(zones={"": None, "gate": None})) is fitted


def test_weighted_moments_are_those_of_repeated_frames() -> None:
    rng = np.random.default_rng(1)
    x, more = (torch.from_numpy(rng.normal(size=(n, 5, 3))).float() for n in (40, 7))
    weighted, repeated = Moments.starting_with(x), Moments.starting_with(x)
    weighted.merge(Moments.starting_with(more).times(3))
    repeated.add(more.repeat(3, 1, 1))
    assert weighted.count == repeated.count == 61
    for a, b in ((weighted.mean(), repeated.mean()), (weighted.covariance(slice(None)), repeated.covariance(slice(None)))):
        torch.testing.assert_close(a, b, rtol=SUMS_RELATIVE_TOLERANCE, atol=SUMS_RELATIVE_TOLERANCE)


def test_a_file_that_is_no_archive_is_as_good_as_none(tmp_path: Path) -> None:
    (tmp_path / "bad.npz").write_bytes(b"PK nothing")
    assert load_frames(tmp_path / "bad.npz") is None


def test_a_journal_of_another_model_or_of_a_damaged_one_is_not_in_force(tmp_path: Path) -> None:
    model = tmp_path / "yard.safetensors"
    book = LessonBook(model, lambda: pytest.fail("no engine is needed"), None)
    assert book.lessons() == ()
    (tmp_path / "yard.lessons").mkdir()
    journal = tmp_path / "yard.lessons/journal.json"
    journal.write_text('{"model_sha256": "0", "lessons": [{"event_id": "a", "end_threshold": 4.0, "weight": 1}]}')
    assert book.lessons() == ()
    model.write_bytes(b"damaged")
    assert book.lessons() == ()
    assert not book.forget("a")
    assert book.base_path() == model
    journal.write_text("[]")
    with pytest.raises(ModelFileError, match="journal"):
        book.lessons()
