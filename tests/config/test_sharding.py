"""Which cameras a process takes: all are taken once, evenly, and few move when their number changes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamwatch.config.schema import Config
from streamwatch.config.sharding import Shard, spread_of
from streamwatch.errors import UsageError

CAMERAS = [f"cam-{number:03d}" for number in range(300)]
names = st.lists(st.text("abcdefgh-0123456789", min_size=1, max_size=12), unique=True, max_size=40)


@given(names, st.integers(1, 9))
def test_every_camera_is_taken_once(cameras: list[str], count: int) -> None:
    taken = [camera for share in spread_of(cameras, count) for camera in share]
    assert sorted(taken) == sorted(cameras)


@given(names, st.integers(1, 8))
def test_one_process_more_moves_cameras_to_it_and_to_no_other(cameras: list[str], count: int) -> None:
    before, after = spread_of(cameras, count), spread_of(cameras, count + 1)
    for old, new in zip(before, after, strict=False):
        assert set(new) <= set(old)


@pytest.mark.parametrize("count", [2, 3, 5, 8])
def test_shares_are_even_and_few_move(count: int) -> None:
    shares = spread_of(CAMERAS, count)
    fair = len(CAMERAS) / count
    assert all(abs(len(share) - fair) < 4 * fair**0.5 for share in shares)
    moved = len(spread_of(CAMERAS, count + 1)[count])
    assert abs(moved - len(CAMERAS) / (count + 1)) < 4 * (len(CAMERAS) / (count + 1)) ** 0.5


def test_a_process_sees_its_cameras_alone_and_perhaps_none() -> None:
    config = Config.model_validate({"version": 1, "cameras": {name: {"source": "x.mp4"} for name in "abc"}})
    shares = [Shard(index, 9).share_of(config) for index in range(9)]
    assert sorted(name for share in shares for name in share.cameras) == ["a", "b", "c"]
    assert [] in [share.enabled_cameras for share in shares]


@pytest.mark.parametrize(("text", "expected"), [("0/3", (0, 3)), ("streamwatch-2/3", (2, 3)), (" a-b-11/12 ", (11, 12))])
def test_a_shard_is_a_number_or_a_pods_name(text: str, expected: tuple[int, int]) -> None:
    shard = Shard.parse(text)
    assert (shard.index, shard.count) == expected


@pytest.mark.parametrize("text", ["", "3", "3/3", "0/0", "-1/3", "a/b", "1/2/3", "name/3"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="shard"):
        Shard.parse(text)


def test_hashing_is_the_same_everywhere() -> None:
    """Across versions and machines: a change would move cameras from their models."""
    assert spread_of(["loading-dock", "gate", "yard", "hall", "door"], 3) == [
        ["gate", "yard", "door"],
        [],
        ["loading-dock", "hall"],
    ]
