"""What cameras measure, handed from the scoring thread to the one that calibrates."""

from __future__ import annotations

import numpy as np
import pytest

from streamwatch.detection import live_measures
from streamwatch.detection.camera_monitor import Observation
from streamwatch.detection.live_measures import LiveMeasures
from streamwatch.events.tracker import ZoneObservation

KEY = (None, "", "motion")


def observation(value: float | None, regime: str | None = None) -> Observation:
    highest = () if value is None else (("motion", value),)
    zone = ZoneObservation("", 0.0, None, (), lasts=False, holds=False, at_peak=False, idle=True, highest=highest)
    return Observation(counts=value is not None, quiet=True, normal=True, ratio=0.0, zones=(zone,), regime=regime)


def test_values_come_in_order_and_go_on_over_what_was_taken() -> None:
    measures = LiveMeasures()
    for at in range(4):
        measures.record("cam", 100.0 + at, observation(float(at)))
    (first,) = measures.take("cam")[KEY]
    measures.record("cam", 104.0, observation(4.0))
    (then,) = measures.take("cam")[KEY]
    assert first.stream.at_s.tolist() == [100.0, 101.0, 102.0, 103.0]
    assert first.stream.levels.tolist() == [0.0, 1.0, 2.0, 3.0]
    assert (first.goes_on, then.goes_on) == (False, True)
    assert not measures.take("cam")
    assert not measures.take("other")


@pytest.mark.parametrize("between", ["silence", "clock set back", "taken and silent", "connected anew"])
def test_what_was_not_watched_ends_a_stretch(between: str) -> None:
    measures = LiveMeasures()
    measures.record("cam", 100.0, observation(1.0))
    at_s = {"clock set back": 50.0, "connected anew": 100.1}.get(between, 110.0)
    before = measures.take("cam")[KEY] if between == "taken and silent" else []
    measures.record("cam", at_s, observation(2.0), segment=int(between == "connected anew"))
    found = [*before, *measures.take("cam")[KEY]]
    assert [len(stretch.stream.at_s) for stretch in found] == [1, 1]
    assert not found[1].goes_on


def test_single_frames_that_are_not_judged_end_nothing() -> None:
    """As a camera with a slow shutter repeats a picture; a fault of the picture lasts, and so does another regime."""
    measures = LiveMeasures()
    for at in range(10):
        measures.record("cam", float(at), observation(None if at % 5 == 4 else 1.0))
    for at in range(20, 23):
        measures.record("cam", float(at), observation(1.0))
    first, then = measures.take("cam")[KEY]
    assert (len(first.stream.at_s), len(then.stream.at_s)) == (8, 3)


def test_regimes_are_kept_apart() -> None:
    measures = LiveMeasures()
    for at, regime in enumerate(["day", "day", "grey"]):
        measures.record("cam", float(at), observation(1.0, regime))
    assert {key: len(found[0].stream.at_s) for key, found in measures.take("cam").items()} == {
        ("day", "", "motion"): 2,
        ("grey", "", "motion"): 1,
    }


def test_a_calibration_that_hangs_costs_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_measures, "MAX_WAITING", 10)
    measures = LiveMeasures()
    for at in range(50):
        measures.record("cam", float(at), observation(1.0))
    (kept,) = measures.take("cam")[KEY]
    assert len(kept.stream.at_s) == 10
    measures.record("cam", 50.0, observation(1.0))
    (then,) = measures.take("cam")[KEY]
    assert not then.goes_on  # what was lost lies between
    assert np.array_equal(then.stream.at_s, [50.0])


def test_what_waits_of_a_camera_that_is_begun_anew_is_forgotten() -> None:
    measures = LiveMeasures()
    measures.record("cam", 1.0, observation(1.0))
    measures.forget("cam")
    assert not measures.take("cam")
