"""Placement: everything has a place, even by load, and little moves."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from streamwatch.cluster.placement import Placement, place

names = st.text("abcdefgh", min_size=1, max_size=4)
loads = st.dictionaries(names, st.floats(0.1, 30), max_size=40)
capacities = st.dictionaries(st.text("xyz", min_size=1, max_size=3), st.floats(10, 500), min_size=1, max_size=6)


def moved(before: Placement, after: Placement) -> int:
    return sum(after.of[camera] != shard for camera, shard in before.of.items())


def fullest(placed: Placement, loads: Mapping[str, float], capacities: Mapping[str, float]) -> float:
    return max(sum(loads[camera] for camera in placed.cameras_of(shard)) / capacities[shard] for shard in capacities)


@given(loads, capacities)
@settings(max_examples=100, deadline=None)
def test_every_camera_has_one_place_and_asking_again_moves_nothing(
    loads: dict[str, float], capacities: dict[str, float]
) -> None:
    placed = place(loads, capacities, {})
    assert placed.of.keys() == loads.keys()
    assert set(placed.of.values()) <= capacities.keys()
    assert place(loads, capacities, placed.of) == placed
    for shard, over in placed.over.items():
        assert over > 0
        assert sum(loads[camera] for camera in placed.cameras_of(shard)) > capacities[shard]


@given(loads, capacities)
@settings(max_examples=100, deadline=None)
def test_no_single_move_makes_the_fullest_shard_emptier(loads: dict[str, float], capacities: dict[str, float]) -> None:
    placed = place(loads, capacities, {})
    full = fullest(placed, loads, capacities)
    at_it = [s for s in capacities if sum(loads[c] for c in placed.cameras_of(s)) / capacities[s] >= full * (1 - 1e-9)]
    if len(at_it) > 1:
        return
    emptiest = min(capacities, key=lambda s: (sum(loads[c] for c in placed.cameras_of(s)) / capacities[s], s))
    for camera in placed.cameras_of(at_it[0]):
        other = Placement({**placed.of, camera: emptiest}, {})
        assert fullest(other, loads, capacities) >= full * (1 - 1e-6)


@given(st.integers(1, 200), st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_one_shard_more_takes_its_part_and_five_percent_at_most(cameras: int, shards: int) -> None:
    loads = {f"camera-{number}": 5.0 for number in range(cameras)}
    before = place(loads, {f"shard-{number}": 100.0 for number in range(shards)}, {})
    after = place(loads, {f"shard-{number}": 100.0 for number in range(shards + 1)}, before.of)
    assert moved(before, after) <= cameras * (1 / (shards + 1) + 0.05)


@given(st.integers(1, 200), st.integers(2, 12))
@settings(max_examples=60, deadline=None)
def test_of_a_shard_that_is_gone_its_cameras_alone_move_and_evenly(cameras: int, shards: int) -> None:
    loads = {f"camera-{number}": 5.0 for number in range(cameras)}
    capacities = {f"shard-{number}": 100.0 for number in range(shards)}
    before = place(loads, capacities, {})
    left = {shard: capacity for shard, capacity in capacities.items() if shard != "shard-0"}
    after = place(loads, left, before.of)
    assert moved(before, after) == len(before.cameras_of("shard-0"))
    counts = [len(after.cameras_of(shard)) for shard in left]
    assert max(counts) - min(counts) <= 1


def test_a_larger_shard_takes_more() -> None:
    placed = place({f"c{n}": 5.0 for n in range(30)}, {"small": 50.0, "large": 100.0}, {})
    assert len(placed.cameras_of("small")) == 10
    assert len(placed.cameras_of("large")) == 20
    assert placed.over == {}


def test_without_a_shard_nothing_has_a_place() -> None:
    assert place({"a": 5.0}, {}, {"a": "gone"}) == Placement({}, {})
