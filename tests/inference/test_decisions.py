"""Models with units and older ones without in one batch, frames held between others, and faults that leave no trace."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from streamwatch.errors import ModelError
from streamwatch.inference.decisions import Decisions, host_maps
from streamwatch.model.embedding.identity import EmbeddingIdentity
from streamwatch.model.scene import SceneModel, rules_of
from streamwatch.model.scoring.levels import FieldUnits
from streamwatch.model.scoring.stream_scorer import StreamScorer
from streamwatch.records import Float32Array, Frame

PIXELS = np.zeros((256, 256, 3), np.uint8)
STILL = np.zeros((64, 64), np.float32)
IDENTITY = EmbeddingIdentity("resnet18", "untrained", "0" * 64, ("layer1",), 1, 0, (0,))


def maps_of(seed: int, frames: int) -> Float32Array:
    return np.random.default_rng(seed).gamma(3.0, 2.0, (2, frames, 64, 64)).astype(np.float32)


def model_of(features: str, units: FieldUnits | None) -> SceneModel:
    model = SceneModel(IDENTITY, features=features)  # type: ignore[arg-type]
    model.units_ = units
    return model


MODELS = {
    "new": model_of("appearance", FieldUnits(5.0)),
    "old": model_of("appearance", None),
    "old motion": model_of("motion", None),
}


def decisions_of(device: torch.device) -> Decisions:
    decisions = Decisions(device)
    for name, model in MODELS.items():
        decisions.begin(name, model, rules_of(model), ())
    return decisions


def frame_of(camera: str, time_s: float) -> Frame:
    return Frame(camera, 0, time_s, time_s, time_s, PIXELS, speed=STILL)


def on(device: torch.device, maps: Float32Array, frames: list[Frame]) -> torch.Tensor:
    """What a field says nothing of is NaN."""
    maps = maps.copy()
    for row, frame in enumerate(frames):
        maps[0 if MODELS[frame.camera].features == "motion" else 1, row] = np.nan
    return torch.from_numpy(maps).to(device)


def levels(decisions: Decisions, frames: list[Frame], grids: torch.Tensor, held: list[bool] | None = None) -> list[float]:
    return [one.level for one in decisions.decide(frames, held or [False] * len(frames), grids)]


def test_old_and_new_models_share_a_batch_in_its_order(device: torch.device) -> None:
    order = ["old", "new", "old motion", "new", "old"]
    frames, maps = [frame_of(name, 0.1 * n) for n, name in enumerate(order)], maps_of(0, 5)
    scorers = {name: StreamScorer(rules_of(model)) for name, model in MODELS.items()}
    grids = on(device, maps, frames)
    expected = [scorers[f.camera].score(m, f.time_s).level for f, m in zip(frames, host_maps(grids), strict=True)]
    assert levels(decisions_of(device), frames, grids) == pytest.approx(expected, rel=1e-5)


def test_held_frames_move_their_own_cameras_clock_in_their_turn(device: torch.device) -> None:
    for camera in ("new", "old"):
        first, held, last = (frame_of(camera, at_s) for at_s in (0.0, 4.0, 4.2))
        grids, expected = on(device, maps_of(1, 2), [first, last]), decisions_of(device)
        together = levels(decisions_of(device), [first, held, last], grids, [False, True, False])
        by_hand = levels(expected, [first], grids[:, :1])
        assert levels(expected, [held], grids[:, :0], [True]) == []
        assert together == pytest.approx(by_hand + levels(expected, [last], grids[:, 1:]))
        soon = levels(decisions_of(device), [first, replace(last, time_s=0.2)], grids)
        assert together == pytest.approx(soon), "as if 0.2 s had passed"


@pytest.mark.parametrize("value", [torch.inf, torch.nan])
@pytest.mark.parametrize("broken", ["new", "old", "old motion"])
def test_a_broken_camera_is_named_and_costs_the_others_nothing(broken: str, value: float, device: torch.device) -> None:
    names = ["new", "old", "old motion"]
    first, later = ([frame_of(name, at_s) for name in names] for at_s in (0.0, 0.2))
    failing, smooth = decisions_of(device), decisions_of(device)
    for decisions in (failing, smooth):
        levels(decisions, first, on(device, maps_of(2, 3), first))
    maps = on(device, maps_of(3, 3), later)
    unusable = maps.clone()
    unusable[:, names.index(broken)] *= value
    with pytest.raises(ModelError, match=f"camera {broken}: .*not finite"), failing.undone_on_fault(names):
        levels(failing, later, unusable)
    assert levels(failing, later, maps) == levels(smooth, later, maps)


def test_other_units_are_taken_up_and_an_old_model_keeps_to_its_own(device: torch.device) -> None:
    frames = [frame_of(name, 0.0) for name in ("new", "old")]
    grids, usual, changed = on(device, maps_of(4, 2), frames), decisions_of(device), decisions_of(device)
    for camera in ("new", "old"):
        changed.judge(camera, FieldUnits(10.0), ())
    new, old = levels(usual, frames, grids)
    assert levels(changed, frames, grids) == pytest.approx([new / 2, old])
