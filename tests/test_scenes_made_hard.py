"""What the benchmark of alarms does to real footage: where it is, when, and nothing besides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.footage_alarms import Watched
from benchmarks.scenes_made_hard import (
    NUISANCES,
    PLANTED_FROM,
    PLANTED_TO,
    at_night,
    behind_leaves,
    disturbed,
    planted,
    read_clip,
    thing_of,
    write_clip,
)
from streamwatch.records import UInt8Array

FRAMES, SIZE = 40, (90, 160)


@pytest.fixture(scope="module")
def clip() -> list[UInt8Array]:
    """A textured place in which nothing moves."""
    rng = np.random.default_rng(0)
    picture = rng.integers(40, 200, (*SIZE, 3)).astype(np.uint8)
    return [picture.copy() for _ in range(FRAMES)]


@pytest.fixture(scope="module")
def other() -> list[UInt8Array]:
    rng = np.random.default_rng(1)
    return [rng.integers(0, 255, (*SIZE, 3)).astype(np.uint8) for _ in range(3)]


def changed(before: list[UInt8Array], after: list[UInt8Array]) -> list[float]:
    """Share of the pixels that differ, picture by picture."""
    return [float((a != b).any(axis=2).mean()) for a, b in zip(before, after, strict=True)]


def is_in_its_time(shares: list[float]) -> bool:
    first, last = (int(share * FRAMES) for share in (PLANTED_FROM, PLANTED_TO))
    return not any(shares[:first]) and not any(shares[last:]) and any(shares[first:last])


@pytest.mark.parametrize("crosses", [False, True])
def test_a_thing_is_there_for_its_time_and_as_large_as_asked(
    clip: list[UInt8Array], other: list[UInt8Array], crosses: bool
) -> None:
    thing = thing_of(other, 20, 3)
    shown = planted(clip, thing, 5, crosses=crosses)
    shares = changed(clip, shown)
    assert is_in_its_time(shares)
    assert thing.cut.shape[0] == 20
    oval = np.pi / 4 * thing.cut.shape[0] * thing.cut.shape[1] / (SIZE[0] * SIZE[1])
    assert max(shares) <= 1.3 * oval
    moved = [np.argwhere((a != b).any(axis=2))[:, 1].mean() for a, b in zip(clip, shown, strict=True) if (a != b).any()]
    assert (np.ptp(moved) > SIZE[1] / 2) == crosses
    assert planted(clip, thing, 5, crosses=crosses)[20].tobytes() == shown[20].tobytes()


def test_a_low_contrast_lets_the_scene_shine_through(clip: list[UInt8Array], other: list[UInt8Array]) -> None:
    thing = thing_of(other, 30, 3)
    plain, faint = (planted(clip, thing, 5, crosses=False, contrast=c)[20].astype(float) for c in (1.0, 0.4))
    assert np.abs(faint - clip[20]).mean() == pytest.approx(0.4 * np.abs(plain - clip[20]).mean(), rel=0.1)


@pytest.mark.parametrize("nuisance", NUISANCES)
def test_a_nuisance_passes(clip: list[UInt8Array], nuisance: str) -> None:
    shown = disturbed(clip, nuisance, 7)
    assert is_in_its_time(changed(clip, shown))
    assert all(picture.shape == (*SIZE, 3) and picture.dtype == np.uint8 for picture in shown)
    assert disturbed(clip, nuisance, 7)[20].tobytes() == shown[20].tobytes()


def test_night_is_grey_darker_and_noisy(clip: list[UInt8Array]) -> None:
    dark = at_night(clip, 3)
    assert all((picture[..., 0] == picture[..., 2]).all() for picture in dark)
    assert np.mean(dark) < 0.65 * np.mean(clip)
    assert (dark[0] != dark[1]).mean() > 0.5


def test_leaves_move_all_the_time_and_the_wind_goes_on_over_a_cut(clip: list[UInt8Array]) -> None:
    leafy = behind_leaves(clip, 3)
    assert all(share > 0.1 for share in changed(clip, leafy))
    assert all(share > 0.01 for share in changed(leafy[:-1], leafy[1:]))
    assert max(changed(leafy[25:], behind_leaves(clip[25:], 3, 25))) == 0.0


def test_a_clip_is_written_and_read_back(clip: list[UInt8Array], tmp_path: Path) -> None:
    read, rate_hz = read_clip(write_clip(tmp_path / "clip.mp4", clip, 10.0), 5.0)
    assert (len(read), rate_hz) == (FRAMES // 2, 5.0)
    assert read[0].shape == (*SIZE, 3)


def test_found_and_false_are_told_apart() -> None:
    truth = ((10.0, 20.0), (40.0, 50.0))
    watched = Watched("cam", "clip", 60.0, truth, ((12.0, 15.0), (25.0, 30.0), (38.0, 42.0)), early_s=3.0)
    assert (watched.found, watched.false, watched.delay_s) == (2, 1, 0.0)
    early = Watched("cam", "clip", 60.0, truth, ((5.0, 15.0),), early_s=3.0)
    assert (early.found, early.false, early.delay_s) == (0, 1, None)


def test_what_the_clip_raises_as_it_is_finds_nothing() -> None:
    usual = (11.0, 19.0)
    nothing_new = Watched("cam", "clip", 60.0, ((10.0, 20.0),), ((11.4, 19.0),), known=(usual,))
    assert (nothing_new.found, nothing_new.false, nothing_new.delay_s) == (0, 0, None)
    more = Watched("cam", "clip", 60.0, ((10.0, 20.0),), ((11.4, 19.0), (14.0, 18.0), (30.0, 31.0)), known=(usual,))
    assert (more.found, more.false, more.delay_s) == (1, 1, 4.0)
