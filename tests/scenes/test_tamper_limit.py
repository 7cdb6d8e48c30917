"""From when on a scene counts as another: never nearer than a Gaussian's own samples are."""

from __future__ import annotations

import math

import pytest

from streamwatch.events.tamper import SCENE_WIDE
from streamwatch.model.embedding.identity import EmbeddingIdentity
from streamwatch.model.scene import SceneModel
from streamwatch.scenes.policy import widest_calm


def identity(dims: int) -> EmbeddingIdentity:
    return EmbeddingIdentity("resnet18", "untrained", "0" * 64, ("layer1",), dims, 0, tuple(range(dims)))


@pytest.mark.parametrize("dims", [30, 100])
def test_a_clip_in_which_nothing_varied_makes_no_later_minute_another_scene(dims: int) -> None:
    model = SceneModel(identity(dims), features="both")
    model.samples_ = 20.0
    widest = widest_calm(0.297, model)
    assert widest is not None
    assert SCENE_WIDE * widest == pytest.approx(math.sqrt(dims * dims / (dims + 20)))


def test_an_hour_leaves_nothing_open() -> None:
    model = SceneModel(identity(100), features="both")
    model.samples_ = 3600.0
    assert widest_calm(1.0, model) == 1.0


def test_a_lively_scene_keeps_what_it_showed() -> None:
    assert widest_calm(9.0, SceneModel(identity(100))) == 9.0


def test_a_model_that_does_not_say_or_does_not_see_is_left_alone() -> None:
    assert widest_calm(None, SceneModel(identity(100))) is None
    assert widest_calm(0.1, SceneModel(identity(100), features="motion")) == 0.1
