"""A batch of many streams at once, on each device, beside each stream's frames one by one in NumPy."""

from __future__ import annotations

import gc
import weakref
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamwatch.errors import ModelError
from streamwatch.model.scoring.fusion import FieldMaps, Fusion, learn_fusion
from streamwatch.model.scoring.levels import FieldUnits
from streamwatch.model.scoring.stream_bank import Decision, StreamBank, at_once, in_rounds, responses_of
from streamwatch.model.scoring.stream_scorer import StreamRules, StreamScorer
from streamwatch.records import Float32Array, Frame
from streamwatch.scores import Highest, MapScores

GRID = (8, 9)
PIXELS = np.zeros((256, 256, 3), np.uint8)
RELATIVE_TOLERANCE = {"cpu": 1e-5, "cuda": 1e-5}
"""Of float32: a filter's product and sum are fused here and not there."""
CPU = torch.device("cpu")


def maps_of(seed: int, frames: int) -> Float32Array:
    """(2, N, h, w) of distances and speeds."""
    return np.random.default_rng(seed).gamma(3.0, 2.0, (2, frames, *GRID)).astype(np.float32)


def learned_fusion() -> Fusion:
    appearance, motion = maps_of(7, 40)
    return learn_fusion([FieldMaps(a, m) for a, m in zip(appearance, motion, strict=True)])


FUSION = learned_fusion()


@dataclass(frozen=True)
class Camera:
    """How a camera is judged."""

    rules: StreamRules
    sees: tuple[bool, bool]
    zones: tuple[np.ndarray, ...] = ()

    def one_by_one(self) -> StreamScorer:
        return StreamScorer(self.rules)


def cameras() -> dict[str, Camera]:
    rng = np.random.default_rng(1)
    ignored, left = np.zeros(GRID, bool), np.zeros(GRID, bool)
    ignored[2:5, 3:6], left[:, :4] = True, True
    suppression = rng.uniform(1, 4, GRID).astype(np.float32)
    units = FieldUnits(rng.uniform(4, 9, GRID).astype(np.float32), rng.uniform(3, 12, GRID).astype(np.float32))
    return {
        "both": Camera(StreamRules(GRID, FUSION, ignored, suppression, units), (True, True), (left, ~left)),
        "appearance": Camera(StreamRules(GRID, None, None, None, FieldUnits(5.0)), (True, False), (left,)),
        "motion": Camera(StreamRules(GRID, None, ignored, None, FieldUnits(motion=3.0)), (False, True)),
    }


def bank_of(judged: dict[str, Camera], device: torch.device = CPU) -> StreamBank:
    bank = StreamBank(GRID, device)
    for name, camera in judged.items():
        bank.begin(name, camera.rules, camera.sees, camera.zones)
    return bank


def frame_of(camera: str, time_s: float, *, moves: bool = True, segment: int = 0) -> Frame:
    speed = np.zeros((64, 64), np.float32) if moves else None
    return Frame(camera, 0, time_s, time_s, time_s, PIXELS, segment=segment, speed=speed)


def said(camera: Camera, frame: Frame, maps: Float32Array) -> FieldMaps:
    speaks = camera.sees[0], camera.sees[1] and frame.speed is not None
    return FieldMaps(*(one if says else None for one, says in zip(maps, speaks, strict=True)))


def require_same(decision: Decision, expected: MapScores, zones: tuple[np.ndarray, ...], tolerance: float) -> None:
    """What came back of the batch, what is fetched of a frame's maps, and what NumPy says."""
    fetched = decision.maps()
    for found in (decision, fetched):
        assert found.level == pytest.approx(expected.level, rel=tolerance)
        assert found.spread.low == pytest.approx(expected.spread.low, rel=tolerance)
        assert found.spread.evenness == pytest.approx(expected.spread.evenness, rel=tolerance)
    assert decision.cell == fetched.cell == expected.cell
    assert decision.level == fetched.level, "the number and the map are of the same values"
    for name in ("score", "causal_score"):
        assert getattr(fetched, name) == pytest.approx(getattr(expected, name), rel=100 * tolerance)
    assert np.allclose(fetched.level_grid, expected.level_grid, rtol=tolerance)
    assert [name for name, _ in fetched.fields] == [name for name, _ in expected.fields]
    for highest, cells in zip(decision.highest, (None, *zones), strict=True):
        wanted = Highest.of(expected, cells)
        assert highest.cells is cells
        assert highest.level == pytest.approx(wanted.level, rel=tolerance)
        assert [name for name, _ in highest.measures] == [name for name, _ in wanted.measures]
        assert [v for _, v in highest.measures] == pytest.approx([v for _, v in wanted.measures], rel=tolerance)


def test_batches_of_many_streams_come_to_what_each_frame_alone_does(device: torch.device) -> None:
    judged = cameras()
    bank, alone = bank_of(judged, device), {name: camera.one_by_one() for name, camera in judged.items()}
    order = ["both", "motion", "both", "appearance", "both", "motion"]
    for batch in range(4):
        frames = [
            frame_of(name, batch + 0.1 * n, moves=(batch, n) != (1, 2), segment=int(batch == 3 and name == "both"))
            for n, name in enumerate(order)
        ]
        maps = maps_of(batch, len(frames))
        maps[1, [frame.speed is None for frame in frames]] = np.nan
        decided = bank.decide(frames, torch.from_numpy(maps).to(device))
        for row, (frame, decision) in enumerate(zip(frames, decided, strict=True)):
            camera = judged[frame.camera]
            expected = alone[frame.camera].score(said(camera, frame, maps[:, row]), frame.time_s, frame.segment)
            require_same(decision, expected, camera.zones, RELATIVE_TOLERANCE[device.type])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["both", "appearance"]), st.booleans(), st.integers(0, 2)), min_size=1, max_size=14),
    st.lists(st.integers(1, 5), min_size=14, max_size=14),
    st.integers(0, 9),
)
def test_no_cut_of_a_stream_into_batches_changes_its_levels(
    stream: list[tuple[str, bool, int]], sizes: list[int], seed: int
) -> None:
    judged, segment, frames = cameras(), 0, list[Frame]()
    for n, (name, moves, cut) in enumerate(stream):
        segment += cut == 2
        frames.append(frame_of(name, 0.2 * n, moves=moves, segment=segment))
    maps = torch.from_numpy(maps_of(seed, len(frames)))
    whole, bank, parted = bank_of(judged).decide(frames, maps), bank_of(judged), list[Decision]()
    for size in sizes:
        at = slice(len(parted), len(parted) + size)
        parted += bank.decide(frames[at], maps[:, at]) if frames[at] else []
    assert [one.level for one in parted] == [one.level for one in whole]
    assert [one.spread for one in parted] == [one.spread for one in whole]


def test_a_held_frame_keeps_the_filter_and_moves_its_clock() -> None:
    judged, maps = cameras(), torch.from_numpy(maps_of(3, 2))
    held, waited, late = (bank_of(judged) for _ in range(3))
    for bank in (held, waited, late):
        bank.decide([frame_of("appearance", 0.0)], maps[:, :1])
    held.hold("appearance", 5.0)
    at_once = waited.decide([frame_of("appearance", 0.2)], maps[:, 1:])[0]
    assert held.decide([frame_of("appearance", 5.2)], maps[:, 1:])[0].level == pytest.approx(at_once.level)
    assert late.decide([frame_of("appearance", 5.2)], maps[:, 1:])[0].level != pytest.approx(at_once.level)


def test_units_and_zones_change_from_the_next_frame_on_and_the_filter_goes_on() -> None:
    judged, maps = cameras(), torch.from_numpy(maps_of(4, 2))
    changed, as_before = bank_of(judged), bank_of(judged)
    for bank in (changed, as_before):
        bank.decide([frame_of("appearance", 0.0)], maps[:, :1])
    top = np.zeros(GRID, bool)
    top[:3] = True
    changed.judge("appearance", FieldUnits(10.0), (top,))
    found, usual = (bank.decide([frame_of("appearance", 0.2)], maps[:, 1:])[0] for bank in (changed, as_before))
    assert found.level == pytest.approx(usual.level / 2)
    assert [one.cells is top for one in found.highest] == [False, True]
    changed.judge("appearance", None, ())
    whole, usual_now = (bank.decide([frame_of("appearance", 0.4)], maps[:, 1:])[0] for bank in (changed, as_before))
    assert [one.cells for one in whole.highest] == [None]
    assert whole.level == pytest.approx(usual_now.level / 2), "the units stay"


def test_a_row_that_another_camera_left_holds_nothing_of_it() -> None:
    judged, maps = cameras(), torch.from_numpy(maps_of(5, 1))
    bank = bank_of(judged)
    bank.decide([frame_of("both", 0.0)], 1000 * maps)
    bank.forget("both")
    assert "both" not in bank
    bank.begin("new", judged["both"].rules, (True, True))
    fresh = StreamBank(GRID, CPU)
    fresh.begin("new", judged["both"].rules, (True, True))
    assert bank.decide([frame_of("new", 0.1)], maps)[0].level == fresh.decide([frame_of("new", 0.1)], maps)[0].level


def test_the_bank_grows_with_its_cameras_and_keeps_what_it_holds(device: torch.device) -> None:
    rules, maps = cameras()["appearance"].rules, torch.from_numpy(maps_of(6, 20)).to(device)
    large, small = StreamBank(GRID, device), StreamBank(GRID, device)
    for bank in (large, small):
        bank.begin("first", rules, (True, False))
        bank.decide([frame_of("first", 0.0)], maps[:, :1])
    for number in range(19):
        large.begin(f"cam{number}", rules, (True, False))
    frames = [frame_of("first", 0.2), *(frame_of(f"cam{number}", 0.2) for number in range(19))]
    grown = large.decide(frames, maps)
    assert grown[0].level == pytest.approx(small.decide(frames[:1], maps[:, :1])[0].level, rel=1e-6)


def test_a_map_that_is_not_finite_is_told_with_its_camera(device: torch.device) -> None:
    bank, broken = bank_of(cameras(), device), torch.from_numpy(maps_of(8, 2)).to(device)
    broken[0, 1, 3, 3] = torch.inf
    with pytest.raises(ModelError, match="camera appearance"):
        bank.decide([frame_of("both", 0.0), frame_of("appearance", 0.0)], broken)


def test_what_fails_leaves_every_stream_as_it_was(device: torch.device) -> None:
    maps = torch.from_numpy(maps_of(10, 2)).to(device)
    frames = [[frame_of(name, 0.2 * n, segment=n // 2) for name in ("both", "appearance")] for n in range(3)]
    (failing, smooth), broken = (bank_of(cameras(), device) for _ in range(2)), maps.clone()
    broken[0, 1] = torch.nan
    for bank in (failing, smooth):
        bank.decide(frames[0], maps)
    for again in range(3):
        with pytest.raises(ModelError), failing.undone_on_fault({"both", "appearance"}):
            failing.decide(frames[1 + again % 2], broken)
    found, expected = (bank.decide(frames[1], 2 * maps) for bank in (failing, smooth))
    assert [one.level for one in found] == [one.level for one in expected]
    assert [one.spread for one in found] == [one.spread for one in expected]


@pytest.mark.parametrize("alone", [False, True])
def test_a_row_is_fetched_once_and_lets_go_of_its_batch(alone: bool) -> None:
    frame = replace(frame_of("both", 0.0), still=False if alone else None)
    maps = torch.from_numpy(maps_of(9, 3))
    frames = [frame, frame_of("appearance", 0.0), frame_of("motion", 0.0)]
    decision, of_maps = bank_of(cameras()).decide(frames, maps)[0], weakref.ref(maps)
    del maps
    gc.collect()
    assert (of_maps() is None) == alone, "what may be kept as a camera's last result keeps no other camera's maps"
    found = decision.maps()
    gc.collect()
    assert of_maps() is None
    assert decision.maps() is found


def test_levels_alone_are_those_of_the_whole_maps_and_let_go_of_the_batch() -> None:
    maps = torch.from_numpy(maps_of(9, 3))
    frames = [frame_of(name, 0.0) for name in ("both", "appearance", "motion")]
    decided, of_maps = bank_of(cameras()).decide(frames, maps), weakref.ref(maps)
    del maps
    levels = [decision.levels() for decision in decided]
    gc.collect()
    assert of_maps() is None
    for found, decision in zip(levels, decided, strict=True):
        assert np.array_equal(found, decision.maps().level_grid)
        assert float(found.max()) == pytest.approx(decision.level, rel=RELATIVE_TOLERANCE["cpu"])
        assert decision.levels() is decision.maps().level_grid


def test_many_rounds_at_once_are_those_one_by_one(device: torch.device) -> None:
    rng = np.random.default_rng(2)
    rounds, streams = 40, 3
    weights = rng.uniform(0, 1, (2, rounds, streams, 1)).astype(np.float32)
    weights[:, ::7], weights[:, 3::9] = 0.0, 1.0  # where a camera has no frame left, and where it begins anew
    last, inputs = (
        torch.from_numpy(rng.gamma(3, 2, shape).astype(np.float32)).to(device)
        for shape in ((2, streams, 20), (2, rounds, streams, 20))
    )
    expected, exact = in_rounds(last, inputs, torch.from_numpy(weights).to(device)), last.double()
    found = at_once(last, inputs, torch.from_numpy(responses_of(weights)).to(device))
    assert torch.allclose(found, expected, rtol=RELATIVE_TOLERANCE[device.type])
    for number in range(rounds):
        exact = exact + torch.from_numpy(weights[:, number]).to(exact) * (inputs[:, number].double() - exact)
    assert torch.allclose(found[:, -1].double(), exact, rtol=RELATIVE_TOLERANCE[device.type])


def test_a_camera_with_many_frames_in_a_batch(device: torch.device) -> None:
    judged, frames = cameras(), [frame_of("both", 0.1 * n, moves=n % 5 > 0) for n in range(30)]
    maps, scorer = maps_of(11, len(frames)), judged["both"].one_by_one()
    decided = bank_of(judged, device).decide(frames, torch.from_numpy(maps).to(device))
    for row, (frame, decision) in enumerate(zip(frames, decided, strict=True)):
        expected = scorer.score(said(judged["both"], frame, maps[:, row]), frame.time_s)
        require_same(decision, expected, judged["both"].zones, RELATIVE_TOLERANCE[device.type])
