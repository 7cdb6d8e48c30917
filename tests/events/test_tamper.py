"""Frozen, dark, bright, covered: reported once, over once, and never for a calm scene."""

from __future__ import annotations

import numpy as np
import pytest

from streamwatch.events.tamper import (
    CLEAR_AFTER_S,
    EVEN,
    FEATURELESS_AFTER_S,
    FROZEN_AFTER_S,
    SCENE_WIDE,
    TamperChange,
    TamperDetector,
)
from streamwatch.records import UInt8Array
from streamwatch.scores import Spread

RNG = np.random.default_rng(0)
SCENE = RNG.integers(40, 200, (256, 256, 3), dtype=np.uint8)


def noisy() -> UInt8Array:
    return np.clip(SCENE.astype(int) + RNG.integers(-2, 3, SCENE.shape), 0, 255).astype(np.uint8)


def flat(level: int) -> UInt8Array:
    return np.clip(np.full(SCENE.shape, level) + RNG.integers(-2, 3, SCENE.shape), 0, 255).astype(np.uint8)


def watched(pictures: list[UInt8Array], rate_hz: float = 5.0) -> list[TamperChange]:
    detector = TamperDetector()
    changes = [detector.observe(picture, 1e9 + n / rate_hz) for n, picture in enumerate(pictures)]
    return [change for change in changes if change]


@pytest.mark.parametrize(("level", "kind"), [(5, "ImageTooDark"), (250, "ImageTooBright"), (120, "ImageTooBlurry")])
def test_a_featureless_picture_is_reported_once_and_is_over_once(level: int, kind: str) -> None:
    calm = [noisy() for _ in range(10)]
    began, over = watched(calm + [flat(level) for _ in range(30)] + [noisy() for _ in range(30)])
    assert (began.kind, began.active, began.since_wall_s) == (kind, True, 1e9 + 2.0)
    assert (over.kind, over.active, over.since_wall_s) == (kind, False, 1e9 + 8.0)


def test_a_frozen_picture_is_a_lost_signal_and_a_noisy_one_is_not() -> None:
    still = noisy()
    assert watched([noisy() for _ in range(200)]) == []
    frozen = watched([noisy() for _ in range(5)] + [still] * round(5 * (FROZEN_AFTER_S + 2)))
    assert [(c.kind, c.active) for c in frozen] == [("SignalLoss", True)]
    assert watched([noisy()] + [still] * round(5 * (FROZEN_AFTER_S - 2)) + [noisy()]) == []


def test_a_recording_may_hold_the_same_picture_over_and_over() -> None:
    detector, still = TamperDetector(live=False), noisy()
    assert all(detector.observe(still, 1e9 + n / 5) is None for n in range(200))
    assert not detector.blinded


def test_another_picture_size_is_another_scene_until_it_is_the_old_one_again() -> None:
    detector = TamperDetector()
    sizes = [(640, 480)] * 5 + [(320, 240)] * 15 + [(640, 480)] * 15
    changes = [detector.observe(noisy(), 1e9 + n / 5, size) for n, size in enumerate(sizes)]
    assert [(c.kind, c.active, round(c.since_wall_s - 1e9, 1)) for c in changes if c] == [
        ("GlobalSceneChange", True, 1.0),
        ("GlobalSceneChange", False, 4.0),
    ]


def test_a_short_black_out_is_no_report_but_blinds_at_once() -> None:
    detector = TamperDetector()
    detector.observe(noisy(), 1e9)
    blinded = [detector.blinded]
    for n, picture in enumerate((flat(3), noisy())):
        detector.observe(picture, 1e9 + 0.2 * (n + 1))
        blinded.append(detector.blinded)
    assert blinded == [False, True, False]
    assert detector.active is None


def test_a_fault_that_flickers_is_one_fault() -> None:
    pictures = [flat(3) if n % 5 else noisy() for n in range(40)]
    assert watched(pictures) == []
    steady = [flat(3)] * round(5 * (FEATURELESS_AFTER_S + 1))
    changes = watched([noisy(), *steady, *pictures, *[noisy() for _ in range(round(5 * (CLEAR_AFTER_S + 1)))]])
    assert [c.active for c in changes] == [True, False]


def test_an_interruption_does_not_make_the_first_picture_a_frozen_one() -> None:
    detector, still = TamperDetector(), noisy()
    detector.observe(still, 1e9)
    detector.restart()
    assert detector.observe(still, 1e9 + 60) is None
    assert detector.active is None


def spread_over(spread: Spread, picture: UInt8Array | None = None, calm: float | None = 3.0) -> list[TamperChange]:
    """Two seconds as usual, then four with this spread, then four as usual."""
    detector = TamperDetector(calm_spread=calm)
    shown = [(noisy(), Spread(1.0, 0.3))] * 10 + [(picture if picture is not None else noisy(), spread)] * 20
    shown += [(noisy(), Spread(1.0, 0.3))] * 20
    changes = [
        detector.observe(np.bitwise_xor(pixels, RNG.integers(0, 2, SCENE.shape, dtype=np.uint8)), 1e9 + n / 5, None, given)
        for n, (pixels, given) in enumerate(shown)
    ]
    return [change for change in changes if change]


def test_far_from_normal_all_over_is_a_changed_scene_and_in_a_place_it_is_not() -> None:
    far = 3.0 * SCENE_WIDE
    assert [(c.kind, c.active) for c in spread_over(Spread(far, EVEN))] == [
        ("GlobalSceneChange", True),
        ("GlobalSceneChange", False),
    ]
    assert spread_over(Spread(far, 0.99 * EVEN)) == []
    assert spread_over(Spread(0.99 * far, 1.0)) == []
    assert spread_over(Spread(100.0, 1.0), calm=None) == [], "a model without that limit cannot tell"


@pytest.mark.parametrize(("factor", "kind"), [(0.2, "ImageTooDark"), (0.0, "ImageTooBlurry"), (1.0, "GlobalSceneChange")])
def test_what_changed_the_whole_scene_is_told_by_the_picture(factor: float, kind: str) -> None:
    """Everything darker; everything smooth; or neither."""
    rows = np.linspace(60, 180, 256).astype(np.uint8)
    smooth = np.broadcast_to(rows[:, None, None], SCENE.shape).copy()
    picture = smooth if factor == 0 else np.asarray(SCENE * factor, dtype=np.uint8)
    assert [c.kind for c in spread_over(Spread(100.0, 1.0), picture)] == [kind, kind]
