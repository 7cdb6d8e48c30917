"""Day and night learned clip by clip beside the same learned in one pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from streamwatch.clock import SystemClock
from streamwatch.errors import NotEnoughFrames
from streamwatch.inference.engine import Engine
from streamwatch.inference.factory import EngineSpec
from streamwatch.learning.by_clip.fit import ClippedFootage, Workers
from streamwatch.learning.by_clip.mapper import InTurn
from streamwatch.learning.by_clip.regimes import ClipLook, taken_by
from streamwatch.learning.fit import FrameSelection, learn_scene
from streamwatch.learning.fit_camera import FitTask, Fitted, RegimeLeftOut, fit_task
from streamwatch.learning.footage import SOURCE_GAP_S, Footage
from streamwatch.learning.segment_index import Exclusion
from streamwatch.model.embedding.identity import BackboneSpec
from streamwatch.model.regime import DAY, GREY, ImageStatistics, RegimeSorter
from streamwatch.records import UInt8Array
from streamwatch.scenes.calibration_policy import CalibrationPolicy
from streamwatch.video.sources import parse_source
from streamwatch.video.streams.opener import PyAvOpener, StreamOptions
from tests.conftest import encode, moving_square
from tests.learning.by_clip.test_merged_fit import LastFirst, Refusing

pytestmark = pytest.mark.slow(25)
SPEC = EngineSpec(BackboneSpec("resnet18", "untrained", dims=12), "cpu", "float32")
OTHER_ORDER_OF_SUMS = 1e-5
LOOKS = {DAY: ImageStatistics(120.0, 40.0), GREY: ImageStatistics(120.0, 1.0), "between": ImageStatistics(120.0, 6.0)}


def pictures(frames: int, night_from: int, seed: int) -> Iterator[UInt8Array]:
    """Of a scene in colour, and without colour from a frame on."""
    for number, picture in enumerate(moving_square(frames, noise_seed=seed)):
        coloured = picture.astype(np.int16) + np.array([40, 0, -40])
        grey = np.repeat(picture.mean(axis=2, keepdims=True), 3, axis=2)
        yield np.clip(grey if number >= night_from else coloured, 0, 255).astype(np.uint8)


@contextmanager
def quiet(_what: str, _frames: int | None) -> Iterator[Callable[[int], None]]:
    yield lambda _frames: None


@pytest.fixture(scope="module")
def engine() -> Engine:
    return SPEC.build()


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three by day, of which the last one ends in the night, and two by night."""
    folder = tmp_path_factory.mktemp("clips")
    for number, (frames, night_from) in enumerate(((60, 60), (50, 50), (150, 40), (60, 0), (40, 0))):
        encode(folder / f"{number}.avi", pictures(frames, night_from, number), fps=10)
    return sorted(folder.glob("*.avi"))


def clipped(engine: Engine, footage: Footage, mapper: Any = None, excluded: tuple[Exclusion, ...] = ()) -> ClippedFootage:
    return ClippedFootage(footage, engine, Workers(mapper or InTurn(), SPEC), PyAvOpener(), excluded)


def footage_of(clips: Sequence[Path]) -> Footage:
    return Footage(tuple(parse_source(str(clip)) for clip in clips))


@pytest.mark.parametrize(("wanted", "excluded"), [(None, ()), (GREY, (Exclusion("3.avi", 1.0, 3.0),))], ids=["first", "other"])
def test_a_regime_is_the_model_of_one_pass(
    engine: Engine, clips: list[Path], wanted: str | None, excluded: tuple[Exclusion, ...]
) -> None:
    footage, one, by_clip = footage_of(clips), RegimeSorter(wanted), RegimeSorter(wanted)
    selection = FrameSelection(one, excluded, 150)
    whole = learn_scene(
        footage, engine, opener=PyAvOpener(), clock=SystemClock(), policy=CalibrationPolicy(), selection=selection
    )
    parts = clipped(engine, footage, excluded=excluded).learn(CalibrationPolicy(), sorter=by_clip)
    assert by_clip.counts == one.counts
    assert parts.model.regime == whole.model.regime == (wanted or DAY)
    assert parts.model.frames == whole.model.frames
    mine, theirs = parts.model.require_moments(), whole.model.require_moments()
    assert mine.count == theirs.count
    assert torch.allclose(mine.mean(), theirs.mean(), rtol=OTHER_ORDER_OF_SUMS, atol=OTHER_ORDER_OF_SUMS)
    assert [label for _, label in parts.index.begins] == [label for _, label in whole.index.begins]


def test_the_order_in_which_workers_finish_changes_nothing(engine: Engine, clips: list[Path]) -> None:
    footage = footage_of(clips)
    first, second = (clipped(engine, footage, mapper) for mapper in (InTurn(), LastFirst()))
    a, b = (of.learn(CalibrationPolicy(), sorter=RegimeSorter()).model.require_moments() for of in (first, second))
    assert torch.equal(a.s2, b.s2)


def test_a_camera_gets_a_model_for_each_regime(engine: Engine, clips: list[Path], tmp_path: Path) -> None:
    task = FitTask("yard", tmp_path / "yard.safetensors", footage_of(clips), StreamOptions(), by_regime=True)
    first, other = fit_task(task, engine, update=False, progress=quiet, workers=Workers(InTurn(), SPEC))
    seen = RegimeSorter()
    taken_by(seen, clipped(engine, footage_of(clips))._looks)
    assert isinstance(first, Fitted)
    assert first.result.model.regime == max(seen.counts, key=lambda regime: seen.counts[regime])
    assert isinstance(other, RegimeLeftOut), "of the night too little was seen, which is said and no error"
    assert {first.result.model.regime: first.result.model.frames, other.regime: other.frames} == seen.counts


def test_a_regime_that_nobody_saw_is_too_little(engine: Engine, clips: list[Path]) -> None:
    with pytest.raises(NotEnoughFrames):
        clipped(engine, footage_of(clips)).learn(CalibrationPolicy(), sorter=RegimeSorter("dark"))


def test_how_clips_look_is_asked_once(engine: Engine, clips: list[Path]) -> None:
    footage = clipped(engine, footage_of(clips))
    known = footage._looks
    assert clipped(engine, footage_of(clips), LastFirst())._looks == known
    assert footage._looks is known
    with pytest.raises(AssertionError, match="nothing is for workers"):
        _ = clipped(engine, footage_of(clips), Refusing())._looks


@given(st.lists(st.lists(st.sampled_from(sorted(LOOKS)), max_size=30), min_size=1, max_size=5))
def test_clips_are_sorted_as_one_time_line(kinds: list[list[str]]) -> None:
    looks = [
        ClipLook(tuple((n / 2, LOOKS[kind]) for n, kind in enumerate(clip)), (len(clip) - 1) / 2 if clip else None)
        for clip in kinds
    ]
    expected, sorter, at_s = list[set[int]](), RegimeSorter(), 0.0
    for clip in kinds:
        expected.append({n for n, kind in enumerate(clip) if sorter.sorts(LOOKS[kind], at_s + n / 2)})
        at_s += (len(clip) - 1) / 2 + SOURCE_GAP_S if clip else 0.0
    again = RegimeSorter()
    assert [set(numbers) for numbers in taken_by(again, looks)] == expected
    assert again.counts == sorter.counts
