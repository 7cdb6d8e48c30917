"""What feedback does to a model; the whole way is in tests/cli/test_alarm_commands.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from streamwatch.enums import EndReason
from streamwatch.errors import ModelFileError
from streamwatch.evidence.event_frames import load_frames
from streamwatch.learning.derive_calibration import calibration_of, recalibrated
from streamwatch.learning.feedback import AROUND_CELLS, SILENCED_TO, FeedbackJournal, suppression_for, weight_of
from streamwatch.model.calibration.normal_levels import NormalLevelRecorder, NormalLevels
from streamwatch.model.calibration.prequential import GAP_S
from streamwatch.model.calibration.thresholds import thresholds_for
from streamwatch.model.embedding.identity import EmbeddingIdentity
from streamwatch.model.normality.moments import Moments
from streamwatch.model.scene import SceneModel
from streamwatch.records import Event, Frame, Peak
from streamwatch.scenes.calibration_policy import CalibrationPolicy
from streamwatch.scores import FrameScore
from tests.scores import frame_score

SUMS_RELATIVE_TOLERANCE = 1e-5


def scored(number: int, level: float = 9.0) -> FrameScore:
    frame = Frame("cam", number, float(number), float(number), 0.0, np.full((256, 256, 3), number % 256, np.uint8))
    grid = np.zeros((64, 64), np.float32)
    grid[10, number % 64] = level
    return frame_score(frame, grid, level)


def event(identity: str = "id") -> Event:
    return Event(identity, "cam", "", 0.0, 0.0, Peak(9.0, 1.0, 1.0), 5.0, 4.0, 2.0, 2.0, EndReason.NORMAL)


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
    suppression = suppression_for(grid, end, None)
    assert (suppression >= 1).all()
    for moved in (-AROUND_CELLS, 0, AROUND_CELLS):
        at = (min(max(row + moved, 0), 63), column)
        assert level / suppression[at] <= 1.0001 * SILENCED_TO * end
        assert 2 * level / suppression[at] >= min(2 * level, 1.99 * SILENCED_TO * end)
    assert (np.maximum(suppression, 3.0) == suppression_for(grid, end, np.full((64, 64), 3.0, np.float32))).all()


def normal_footage() -> NormalLevels:
    """Ten minutes: calm, but for something in the corner for 2 s every 20 s, and something weaker elsewhere every 30 s."""
    noted = NormalLevelRecorder({"": None})
    rng = np.random.default_rng(3)
    for number in range(3000):
        at_s, grid = number / 5, rng.uniform(0.5, 1.0, (64, 64)).astype(np.float32)
        grid[0:8, 0:8] *= 9.0 + rng.uniform() if at_s % 20 < 2 else 1.0
        grid[40:48, 40:48] *= 3.0 + rng.uniform() if at_s % 30 < 2 else 1.0
        noted.add(at_s, grid)
    levels = noted.found()
    assert levels
    return levels


def calibrated(field: str, policy: CalibrationPolicy) -> SceneModel:
    """A model whose one field, or all together, measured that footage."""
    identity = EmbeddingIdentity("resnet18", "untrained", "0" * 64, ("layer1",), 1, 0, (0,))
    model, levels = SceneModel(identity), normal_footage()
    model.levels_ = {field: levels}
    streams = {("", field): levels.streams("", None, GAP_S)}
    model.calibration_ = calibration_of(streams, policy, dims=1, lows=[0.1, 0.2])
    return model


@pytest.mark.parametrize("field", ["", "appearance"])
def test_thresholds_are_derived_anew_from_what_is_left_of_normal_levels(field: str) -> None:
    policy = CalibrationPolicy(cooldown_s=2.0)
    model = calibrated(field, policy)
    fitted = model.calibration_
    assert fitted
    assert recalibrated(model, policy) == fitted
    model.suppression_ = np.ones((64, 64), np.float32)
    model.suppression_[0:8, 0:8] = 10.0
    found = recalibrated(model, policy)
    assert found
    (before,), (after,) = fitted.peaks_of(""), found.peaks_of("")
    assert before.highest > 9
    assert 3.0 < after.highest < 4.01  # what is elsewhere is what is left
    assert after.end_threshold < before.end_threshold
    assert thresholds_for(after, 24.0).start < thresholds_for(before, 24.0).start
    assert (found.calm_spread, found.frames) == (fitted.calm_spread, 3000)


def test_thresholds_stay_where_the_levels_they_came_from_are_not_known() -> None:
    policy = CalibrationPolicy()
    model = calibrated("appearance", policy)
    assert recalibrated(model, CalibrationPolicy(zones={"": None, "gate": None})) is model.calibration_
    model.levels_ = None
    assert recalibrated(model, policy) is model.calibration_


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
    book = FeedbackJournal(model, lambda: pytest.fail("no engine is needed"), None)
    assert book.entries() == ()
    (tmp_path / "yard.lessons").mkdir()
    journal = tmp_path / "yard.lessons/journal.json"
    journal.write_text('{"model_sha256": "0", "lessons": [{"event_id": "a", "end_threshold": 4.0, "weight": 1}]}')
    assert book.entries() == ()
    model.write_bytes(b"damaged")
    assert book.entries() == ()
    assert not book.forget("a")
    assert book.base_path() == model
    journal.write_text("[]")
    with pytest.raises(ModelFileError, match="journal"):
        book.entries()
