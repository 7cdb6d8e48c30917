"""The ring of packets: what it holds, what it forgets, and that a clip begins with a key frame and misses nothing."""

from __future__ import annotations

from fractions import Fraction
from typing import cast

import pytest
from av.video.stream import VideoStream
from hypothesis import given
from hypothesis import strategies as st

from streamwatch.video.clips.ring import JUMP_S, ClipRing, Cursor

TEMPLATE = cast("VideoStream", object())
TICK = Fraction(1, 10)


def ring(*, hold_s: float = 2.0, max_bytes: int = 10_000) -> ClipRing:
    new = ClipRing(hold_s=hold_s, max_bytes=max_bytes)
    new.begin(TEMPLATE, TICK, copied=True)
    return new


def feed(into: ClipRing, ticks: range, *, key_every: int = 5, size: int = 10) -> None:
    for tick in ticks:
        into.add(bytes(size), pts=tick, dts=tick, duration=1, key=tick % key_every == 0)
        into.align(tick, float(tick * TICK))


def opened(into: ClipRing, time_s: float) -> Cursor:
    cursor = into.open_at(time_s)
    assert cursor
    return cursor


def ticks_of(into: ClipRing, cursor: Cursor, until_s: float) -> list[int]:
    return [packet.dts for packet in into.read(cursor, until_s)[0]]


def test_a_clip_begins_at_the_key_frame_before_and_ends_where_it_should() -> None:
    held = ring(hold_s=100)
    feed(held, range(40))
    cursor = opened(held, 1.2)
    assert ticks_of(held, cursor, 2.0) == list(range(10, 21))
    assert ticks_of(held, cursor, 2.0) == []
    assert ticks_of(held, cursor, 3.95) == list(range(21, 40))
    assert held.read(cursor, 3.95) == ([], False)
    feed(held, range(40, 50))
    packets, complete = held.read(cursor, 4.5)
    assert ([p.dts for p in packets], complete) == (list(range(40, 46)), True)


@given(
    st.lists(st.tuples(st.integers(1, 3), st.booleans(), st.integers(1, 400)), min_size=1, max_size=120),
    st.integers(0, 60),
    st.integers(300, 3000),
)
def test_it_is_bounded_and_always_begins_with_a_key_frame(
    packets: list[tuple[int, bool, int]], opens_after: int, max_bytes: int
) -> None:
    held, tick = ring(hold_s=1.5, max_bytes=max_bytes), 0
    cursor: Cursor | None = None
    read: list[int] = []
    sent: list[tuple[int, bool]] = []
    for number, (step, key, size) in enumerate(packets):
        tick += step
        sent.append((tick, key))
        held.add(bytes(size), pts=tick, dts=tick, duration=step, key=key)
        held.align(tick, float(tick * TICK))
        assert held.size_bytes <= max_bytes
        if number == opens_after:
            cursor = held.open_at(float(tick * TICK) - 1.0)
        if cursor and number % 3 == 0:
            read += ticks_of(held, cursor, 1e9)
    if not cursor:
        return
    read += ticks_of(held, cursor, 1e9)
    assert read == sorted(set(read))
    times = dict(sent)
    if read:
        assert times[read[0]], "a clip must begin with a key frame"
    if cursor.gaps == 0 and read:
        between = [at for at, _ in sent if read[0] <= at <= read[-1]]
        assert read == between, "without a gap nothing is missing"


def test_what_is_read_stays_and_goes_when_reading_is_over() -> None:
    held = ring(hold_s=1.0, max_bytes=10**6)
    feed(held, range(20))
    cursor = opened(held, 0.5)
    before = held.size_bytes
    feed(held, range(20, 200))
    assert held.size_bytes == before + 180 * 10
    assert ticks_of(held, cursor, 100.0)[0] == 5
    feed(held, range(200, 201))
    held.close(cursor)
    assert held.size_bytes <= 10 * (10 + 2 * 5)


def test_at_least_the_promised_seconds_are_held() -> None:
    held = ring(hold_s=2.0)
    for tick in range(300):
        feed(held, range(tick, tick + 1))
        if tick > 30:
            cursor = opened(held, float((tick - 20) * TICK))
            assert ticks_of(held, cursor, 1e9)[0] * TICK <= (tick - 20) * TICK
            held.close(cursor)


def test_a_reader_that_is_too_slow_loses_whole_groups_and_is_told() -> None:
    held = ring(hold_s=1.0, max_bytes=300)
    feed(held, range(10))
    cursor = opened(held, 0.0)
    assert ticks_of(held, cursor, 0.3) == [0, 1, 2, 3]
    feed(held, range(10, 100))
    left = ticks_of(held, cursor, 1e9)
    assert left[0] % 5 == 0
    assert left == list(range(left[0], 100))
    assert cursor.gaps == 1


@pytest.mark.parametrize("step", [round(JUMP_S * 10) + 1, -3])
def test_a_jump_of_the_cameras_clock_begins_a_new_run(step: int) -> None:
    held = ring(hold_s=100)
    feed(held, range(20))
    cursor = opened(held, 0.0)
    assert len(ticks_of(held, cursor, 100.0)) == 20
    jumped = 19 + step
    held.add(b"x", pts=jumped, dts=jumped, duration=1, key=False)
    held.add(b"x", pts=jumped + 1, dts=jumped + 1, duration=1, key=True)
    assert held.read(cursor, 1e9) == ([], True)
    assert held.open_at(0.0) is None or held.open_at(0.0).run is cursor.run  # type: ignore[union-attr]
    held.align(jumped + 1, 2.1)
    later = opened(held, 0.0)
    assert later.run is not cursor.run
    assert [later.run.time_s(p.pts) for p in held.read(later, 1e9)[0]] == [pytest.approx(2.1)]


def test_nothing_is_held_before_the_first_key_frame_nor_of_a_stream_without_any() -> None:
    held = ring(max_bytes=100)
    assert held.open_at(0.0) is None
    held.add(b"x", pts=1, dts=1, duration=1, key=False)
    held.add(b"x", pts=None, dts=None, duration=1, key=True)
    assert held.size_bytes == 0
    held.add(bytes(60), pts=2, dts=2, duration=1, key=True)
    held.add(bytes(60), pts=3, dts=3, duration=1, key=False)
    assert held.size_bytes == 0, "one group may not be more than all"
    held.add(bytes(60), pts=4, dts=4, duration=1, key=False)
    assert held.size_bytes == 0, "the middle of a group is of no use"


def test_the_end_of_the_stream_ends_a_clip() -> None:
    held = ring()
    feed(held, range(10))
    cursor = opened(held, 0.0)
    held.end()
    assert len(held.read(cursor, 100.0)[0]) == 10
    assert held.read(cursor, 100.0) == ([], True)
    held.add(b"x", pts=11, dts=11, duration=1, key=True)
    assert held.read(cursor, 100.0) == ([], True)


def test_two_readers_at_the_same_place_are_two() -> None:
    held = ring(hold_s=100)
    feed(held, range(10))
    one, other = opened(held, 0.0), opened(held, 0.0)
    held.close(other)
    assert ticks_of(held, one, 100.0) == list(range(10))
    held.close(one)


def test_what_a_camera_sends_after_it_is_read_in_another_way_is_not_kept() -> None:
    held = ring(hold_s=100)
    feed(held, range(10))
    cursor = opened(held, 0.0)
    held.retire()
    feed(held, range(10, 20))
    held.begin(TEMPLATE, TICK, copied=True)
    feed(held, range(20, 30))
    assert held.read(cursor, 100.0)[1]
    assert held.read(cursor, 100.0) == ([], True)
    assert held.open_at(2.5) is None or held.open_at(2.5).run is cursor.run  # type: ignore[union-attr]


def test_pictures_that_are_encoded_may_be_far_apart() -> None:
    held = ClipRing(hold_s=100, max_bytes=1000)
    held.begin(TEMPLATE, TICK, copied=False)
    for tick in (0, 100, 200):
        held.add(b"x", pts=tick, dts=tick, duration=1, key=True)
        held.align(tick, tick / 10)
    assert ticks_of(held, opened(held, 0.0), 100.0) == [0, 100, 200]
