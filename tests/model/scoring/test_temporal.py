"""The causal filter: no look ahead, seconds and not frames, nothing carried over a gap of evidence."""

from __future__ import annotations

import numpy as np
import pytest

from streamwatch.model.scoring.temporal import TIME_CONSTANT_S, CausalFilter, remaining_noise


def run(values: list[float | None], rate_hz: float) -> list[float | None]:
    smooth = CausalFilter()
    out = []
    for number, value in enumerate(values):
        grid = None if value is None else np.full((2, 2), value, np.float32)
        result = smooth.apply(grid, number / rate_hz)
        out.append(None if result is None else float(result[0, 0]))
    return out


def test_it_never_looks_ahead() -> None:
    assert run([1, 1, 1, 5], 10)[:3] == run([1, 1, 1, 1], 10)[:3] == [1, 1, 1]


@pytest.mark.parametrize("rate_hz", [5.0, 10.0, 25.0])
def test_a_step_reaches_63_percent_after_the_time_constant_at_any_rate(rate_hz: float) -> None:
    """An exact discretisation: at frame k the step response is 1 - exp(-k dt / tau)."""
    response = run([0.0, *[1.0] * 50], rate_hz)
    expected = [1 - np.exp(-k / rate_hz / TIME_CONSTANT_S) for k in range(51)]
    np.testing.assert_allclose(np.array(response, float), expected, atol=1e-6)


def test_a_missing_map_starts_anew() -> None:
    assert run([1, 1, None, 7, 7], 10) == [1, 1, None, 7, 7]


def test_time_that_does_not_advance_starts_anew() -> None:
    smooth = CausalFilter()
    smooth.apply(np.zeros((1, 1), np.float32), 5.0)
    again = smooth.apply(np.ones((1, 1), np.float32), 0.0)
    assert again is not None
    assert again[0, 0] == 1


@pytest.mark.parametrize("rate_hz", [0.5, 5.0, 25.0])
def test_what_remains_of_noise_is_as_computed(rate_hz: float) -> None:
    noise = np.random.default_rng(0).normal(size=20_000)
    smooth = np.array(run(list(noise), rate_hz), float)[100:]
    assert smooth.std() == pytest.approx(remaining_noise(1 / rate_hz), rel=0.05)
