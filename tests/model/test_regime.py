"""Regimes of a picture: what tells them apart, what does not move them, and how long another one must hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamwatch.model.regime import (
    DARK,
    DAY,
    GREY,
    REGIMES,
    SWITCH_AFTER_S,
    ImageStatistics,
    RegimeSorter,
    RegimeSwitch,
    image_statistics,
    regime_of,
)
from streamwatch.records import UInt8Array

RNG = np.random.default_rng(0)
COLOURED = RNG.integers(40, 200, (32, 32, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
GREYED = np.repeat(COLOURED.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)
DARKENED = COLOURED // 8
OF = {DAY: COLOURED, GREY: GREYED, DARK: DARKENED}


@pytest.mark.parametrize("regime", REGIMES)
def test_pictures_are_told_apart_whatever_came_before(regime: str) -> None:
    for before in (None, *REGIMES):
        assert regime_of(image_statistics(OF[regime]), before) == regime


def test_a_large_red_thing_gives_a_grey_picture_no_colour() -> None:
    picture = GREYED.copy()
    picture[:128, :124] = (200, 20, 20)  # 24 % of it
    assert image_statistics(picture).colourfulness == pytest.approx(image_statistics(GREYED).colourfulness, abs=0.5)
    assert regime_of(image_statistics(picture), GREY) == GREY


def test_a_lamp_gives_a_dark_picture_no_light() -> None:
    picture = DARKENED.copy()
    picture[:, :100] = 250
    assert regime_of(image_statistics(picture), DARK) == DARK


def test_colourfulness_is_the_length_in_the_opponent_axes() -> None:
    red = np.full((256, 256, 3), (100, 40, 10), np.uint8)
    assert image_statistics(red).brightness == pytest.approx(50)
    assert image_statistics(red).colourfulness == pytest.approx(np.hypot(60, 60))


def test_between_the_limits_a_regime_stays() -> None:
    dull, dusk = ImageStatistics(100, 6.5), ImageStatistics(42, 50)
    assert regime_of(dull, DAY) == DAY
    assert regime_of(dull, GREY) == GREY
    assert regime_of(dusk, DAY) == DAY
    assert regime_of(dusk, DARK) == DARK


@given(st.lists(st.tuples(st.sampled_from([DAY, GREY]), st.floats(0.05, 3.0)), min_size=1, max_size=60))
def test_a_switch_is_never_made_before_the_other_regime_held(shown: list[tuple[str, float]]) -> None:
    switch, at_s, since_s, last = RegimeSwitch(DAY), 0.0, 0.0, DAY
    for regime, step_s in shown:
        at_s += step_s
        since_s = since_s if regime == last else at_s
        last = regime
        before = switch.settled
        changed = switch.observe(OF[regime], at_s)
        assert switch.settled in (regime, None)
        if changed:
            assert changed == regime
            assert before is None
            assert at_s - since_s >= SWITCH_AFTER_S
        elif switch.settled is None:
            assert at_s - since_s < SWITCH_AFTER_S


def test_a_regime_that_is_not_told_apart_changes_nothing() -> None:
    switch = RegimeSwitch(DAY, {DAY, GREY})
    for at_s in range(20):
        assert switch.observe(DARKENED, at_s) is None
    assert switch.settled == DAY


def test_a_sorter_takes_one_regime_and_counts_the_others() -> None:
    pictures: list[UInt8Array] = [COLOURED] * 10 + [GREYED] * 12 + [COLOURED] * 10
    first, grey = RegimeSorter(), RegimeSorter(GREY)
    taken = [first.takes(picture, at_s) for at_s, picture in enumerate(pictures)]
    assert taken == [True] * 10 + [False] * 12 + [False] * 5 + [True] * 5
    assert (first.wanted, first.others()) == (DAY, {GREY: 7})
    assert sum(grey.takes(picture, at_s) for at_s, picture in enumerate(pictures)) == 7
