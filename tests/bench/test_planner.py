"""How many cameras a machine carries, on machines that are made up: what is said is what was run."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamwatch.bench.planner import LATENCY_P99_S, holds, plan
from streamwatch.bench.trial import SETTLE_S, Trial, trial_of


def machine(capacity_fps: float, fps: float, knee: float) -> tuple[list[int], object]:
    """One that scores at most so much, and is late beyond a share of it."""
    asked = list[int]()

    def run(cameras: int) -> Trial:
        asked.append(cameras)
        offered = cameras * fps
        late_s = 0.1 if offered <= knee * capacity_fps else 0.9
        return Trial(cameras, offered, min(offered, capacity_fps), (late_s / 2, late_s, late_s), fps)

    return asked, run


@given(capacity_fps=st.floats(6, 5000), fps=st.sampled_from([1.0, 5.0, 25.0]), knee=st.floats(0.3, 1.0))
def test_what_is_said_was_run_and_held(capacity_fps: float, fps: float, knee: float) -> None:
    asked, run = machine(capacity_fps, fps, knee)
    found = plan(run, fps=fps, overload_cameras=math.ceil(3 * capacity_fps / fps))  # type: ignore[arg-type]
    if found.cameras:
        assert found.cameras == asked[-1] == found.trials[-1].cameras
        assert holds(found.trials[-1])
        assert found.cameras * fps <= max(0.6 * capacity_fps, fps) + 1e-6
    else:
        assert not any(map(holds, found.trials))


def test_a_machine_that_carries_none_says_so() -> None:
    _, run = machine(0.5, 5.0, 1.0)
    assert plan(run, fps=5.0, overload_cameras=2).cameras == 0  # type: ignore[arg-type]


def test_a_trial_counts_what_comes_after_the_daemon_has_settled() -> None:
    early = [(0.1 * n, 5.0, "a") for n in range(10)]
    later = [(SETTLE_S + 0.1 * n, 0.05, "ab"[n % 2]) for n in range(101)]
    found = trial_of(early + later, 2, 10.0, 10.0)
    assert found.scored_fps == pytest.approx(10.1)
    assert found.latency_s[1] == pytest.approx(0.05)
    assert found.slowest_fps == pytest.approx(5.0)
    assert found.dropped == 0.0


def test_a_trial_in_which_nothing_was_scored_holds_nothing() -> None:
    found = trial_of([], 2, 10.0, 10.0)
    assert found.dropped == 1.0
    assert found.latency_s[1] > LATENCY_P99_S
    assert not holds(found)


def test_a_camera_that_was_never_served_is_told() -> None:
    scored = [(0.1 * n, 0.05, "a") for n in range(100)]
    assert trial_of(scored, 2, 10.0, 10.0).slowest_fps == 0.0
