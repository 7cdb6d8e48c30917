"""A scene learned clip by clip beside the same scene learned in one pass."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from streamwatch.clock import SystemClock
from streamwatch.errors import NotEnoughFrames
from streamwatch.inference.engine import Engine
from streamwatch.inference.factory import EngineSpec
from streamwatch.learning.by_clip.fit import ClippedFootage, Workers
from streamwatch.learning.by_clip.mapper import InTurn
from streamwatch.learning.fit import FitResult, learn_scene
from streamwatch.learning.footage import Footage
from streamwatch.learning.segment_index import Exclusion
from streamwatch.model.embedding.identity import BackboneSpec
from streamwatch.model.scoring.fusion import Features
from streamwatch.scenes.calibration_policy import CalibrationPolicy
from streamwatch.video.sources import parse_source
from streamwatch.video.streams.opener import PyAvOpener
from tests.conftest import encode, moving_square

pytestmark = pytest.mark.slow(25)

SPEC = EngineSpec(BackboneSpec("resnet18", "untrained", dims=12), "cpu", "float32")
"""Few channels: what is tested does not depend on how many, and the time does."""
OTHER_ORDER_OF_SUMS = 1e-5
"""Relative; float32 sums of some hundred terms."""
OTHER_SHRINKAGE = 0.05
"""Relative, of distances: blocks that one pass held out for a while count there as independent of what is beside them."""


class LastFirst:
    """A mapper whose workers finish in another order than they began in, and of which some do the same twice."""

    def map(self, work: Callable[[Any, Any], Any], shared: Any, items: Sequence[Any]) -> Iterator[Any]:
        order = list(range(len(items)))
        random.Random(5).shuffle(order)
        done = {number: work(shared, items[number]) for number in [*order, *order[:1]]}
        return (done[number] for number in range(len(items)))


class Refusing:
    """A mapper that is not to be asked."""

    def map(self, work: Callable[[Any, Any], Any], shared: Any, items: Sequence[Any]) -> Iterator[Any]:
        raise AssertionError("nothing is for workers")


@pytest.fixture(scope="module")
def engine() -> Engine:
    return SPEC.build()


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Of unlike lengths, so that blocks lie across their ends."""
    folder = tmp_path_factory.mktemp("clips")
    for number, frames in enumerate((40, 25, 50, 33)):
        encode(folder / f"{number}.avi", moving_square(frames, noise_seed=number), fps=10)
    return sorted(folder.glob("*.avi"))


def footage_of(clips: Sequence[Path], features: Features) -> Footage:
    return Footage(tuple(parse_source(str(clip)) for clip in clips), features=features)


def one_pass(engine: Engine, footage: Footage, **more: Any) -> FitResult:
    return learn_scene(footage, engine, opener=PyAvOpener(), clock=SystemClock(), policy=CalibrationPolicy(), **more)


def by_clip(engine: Engine, footage: Footage, mapper: Any = None, **more: Any) -> FitResult:
    excluded = more.pop("excluded", ())
    clips = ClippedFootage(footage, engine, Workers(mapper or InTurn(), SPEC), PyAvOpener(), excluded)
    return clips.learn(CalibrationPolicy(), **more)


def same_bits(a: FitResult, b: FitResult) -> None:
    mine, theirs = a.model.require_moments(), b.model.require_moments()
    assert mine.count == theirs.count
    assert torch.equal(mine.s1, theirs.s1)
    assert torch.equal(mine.s2, theirs.s2)
    assert a.model.samples_ == b.model.samples_
    assert repr(a.model.units_) == repr(b.model.units_)
    assert repr(a.model.calibration_) == repr(b.model.calibration_)


@pytest.mark.parametrize("features", ["appearance", "motion", "both"])
def test_it_is_the_model_of_one_pass(engine: Engine, clips: list[Path], features: Features) -> None:
    footage = footage_of(clips, features)
    whole, parts = one_pass(engine, footage), by_clip(engine, footage)
    assert parts.model.frames == whole.model.frames == (144 if features == "motion" else 148)  # a clip's first has no speed
    assert parts.provenance.sources == whole.provenance.sources
    assert parts.provenance.footage_s == pytest.approx(whole.provenance.footage_s)
    assert [label for _, label in parts.index.begins] == [label for _, label in whole.index.begins]
    assert [at for at, _ in parts.index.begins] == pytest.approx([at for at, _ in whole.index.begins])
    if features != "motion":
        mine, theirs = parts.model.require_moments(), whole.model.require_moments()
        assert torch.allclose(mine.mean(), theirs.mean(), rtol=OTHER_ORDER_OF_SUMS, atol=OTHER_ORDER_OF_SUMS)
        mine_cov, cov = mine.covariance(slice(0, 64)), theirs.covariance(slice(0, 64))
        assert float((mine_cov - cov).abs().max() / cov.abs().max()) < OTHER_ORDER_OF_SUMS
    known, expected = parts.model.calibration_, whole.model.calibration_
    assert known is not None
    assert expected is not None
    assert [(z.zone, z.field) for z in known.zones] == [(z.zone, z.field) for z in expected.zones]
    assert known.start_threshold == pytest.approx(expected.start_threshold, rel=OTHER_SHRINKAGE)


def test_the_order_in_which_workers_finish_changes_no_bit(engine: Engine, clips: list[Path]) -> None:
    footage = footage_of(clips, "both")
    same_bits(by_clip(engine, footage), by_clip(engine, footage, LastFirst()))


def test_a_model_is_updated_as_in_one_pass(engine: Engine, clips: list[Path]) -> None:
    first, rest = footage_of(clips, "both"), footage_of(clips[2:], "both")
    bases = [one_pass(engine, first).model for _ in range(2)]
    whole, parts = one_pass(engine, rest, base=bases[0]), by_clip(engine, rest, base=bases[1])
    assert parts.model.frames == whole.model.frames == 148 + 83
    mine, theirs = parts.model.require_moments(), whole.model.require_moments()
    assert torch.allclose(mine.mean(), theirs.mean(), rtol=OTHER_ORDER_OF_SUMS, atol=OTHER_ORDER_OF_SUMS)
    for model in (parts.model, whole.model):
        assert model.calibration_ is not None
        assert model.calibration_.zones, "all of it was scored by the model that was updated"


def test_what_is_excluded_is_not_learned(engine: Engine, clips: list[Path]) -> None:
    result = by_clip(engine, footage_of(clips, "appearance"), excluded=(Exclusion("1.avi", 0.0, 2.0),))
    assert result.model.frames == 148 - 21
    assert result.provenance.sources[-1] == "without 1.avi@0s-2s"


def test_a_clip_that_cannot_be_read_is_left_out_and_told(engine: Engine, clips: list[Path], tmp_path: Path) -> None:
    broken = tmp_path / "broken.avi"
    broken.write_bytes(b"not a video" * 100)
    result = by_clip(engine, footage_of([clips[0], broken, *clips[1:]], "appearance"))
    assert result.model.frames == 148
    assert any("broken.avi: left out" in warning for summary in result.summaries for warning in summary.warnings)


def test_a_recording_that_declares_nothing_is_counted_first(engine: Engine, clips: list[Path], tmp_path: Path) -> None:
    raw = tmp_path / "raw.h264"
    encode(raw, moving_square(64, noise_seed=3), fps=10)
    result = by_clip(engine, footage_of([raw, *clips], "appearance"))
    assert result.model.frames == 64 + 148
    assert result.model.calibration_ is not None
    assert result.model.calibration_.zones, "alarms are calibrated on what came after"


def test_what_is_excluded_whole_is_not_counted(engine: Engine, clips: list[Path], tmp_path: Path) -> None:
    long = tmp_path / "long.avi"
    encode(long, moving_square(150, noise_seed=3), fps=10)
    result = by_clip(engine, footage_of([*clips, long], "appearance"), excluded=(Exclusion("long.avi", 0.0, 60.0),))
    assert result.model.frames == 148
    assert result.model.calibration_ is not None
    assert result.model.calibration_.zones


def test_footage_that_is_mostly_one_recording_is_learned_in_one_pass(engine: Engine, tmp_path: Path) -> None:
    alone = tmp_path / "alone.avi"
    encode(alone, moving_square(96, noise_seed=3), fps=10)
    footage = footage_of([alone], "both")
    same_bits(by_clip(engine, footage, Refusing()), one_pass(engine, footage))


def test_too_little_footage_is_said_as_in_one_pass(engine: Engine, tmp_path: Path) -> None:
    short = tmp_path / "short.avi"
    encode(short, moving_square(20, noise_seed=1), fps=10)
    with pytest.raises(NotEnoughFrames, match="only 20 frames"):
        by_clip(engine, footage_of([short], "appearance"))
