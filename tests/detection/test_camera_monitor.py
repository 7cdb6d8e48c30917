"""The camera monitor, for any course of levels and any fault of the picture: what it must always be, and that it is pure."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamwatch.detection.camera_monitor import CameraMonitor, Observation
from streamwatch.enums import EndReason, EventType
from streamwatch.events.decision import EventPolicy
from streamwatch.events.drift import DriftMonitor
from streamwatch.events.tamper import TamperDetector
from streamwatch.events.tracker import EventTracker, ZonePolicy
from streamwatch.records import EventChange, Frame, UInt8Array
from streamwatch.scores import FrameScore, Spread
from tests.scores import frame_score

RNG = np.random.default_rng(0)
SCENE = RNG.integers(40, 200, (256, 256, 3), dtype=np.uint8)
SCENES: tuple[UInt8Array, ...] = tuple(
    np.clip(SCENE.astype(int) + RNG.integers(-2, 3, SCENE.shape), 0, 255).astype(np.uint8) for _ in range(4)
)
BLACK = np.zeros((256, 256, 3), np.uint8)
STEP_S = 0.4
POLICY = EventPolicy(10, 5, min_duration_s=0.5, end_delay_s=0.5, cooldown_s=1.0, max_duration_s=6.0)
LEFT = np.zeros((64, 64), bool)
LEFT[:, :32] = True


@dataclass(frozen=True)
class Shown:
    """One frame: its levels in the two zones, whether it is black, and what is forced before it."""

    left: float
    right: float
    black: bool = False
    forced: EndReason | None = None


FRAMES = st.builds(
    Shown,
    st.sampled_from([0.0, 4.0, 6.0, 11.0, 40.0]),
    st.sampled_from([0.0, 6.0, 11.0]),
    st.booleans().map(lambda b: b),
    st.sampled_from([None, None, None, None, EndReason.CAMERA_LOST, EndReason.SHUTDOWN]),
)


def monitor() -> CameraMonitor:
    ids = itertools.count()
    trackers = [
        EventTracker("cam", ZonePolicy(POLICY, 30.0, cells=cells), new_id=lambda _: f"e{next(ids)}", zone=zone)
        for zone, cells in (("", ~LEFT), ("left", LEFT))
    ]
    return CameraMonitor("cam", trackers, TamperDetector(), drift=DriftMonitor(8.0, 10.0), new_id=lambda _: f"n{next(ids)}")


def scored(number: int, shown: Shown) -> FrameScore:
    grid = np.where(LEFT, np.float32(shown.left), np.float32(shown.right)).astype(np.float32)
    at_s = number * STEP_S
    frame = Frame("cam", number, at_s, 1e9 + at_s, at_s, BLACK if shown.black else SCENES[number % len(SCENES)])
    level = max(shown.left, shown.right)
    return frame_score(frame, grid, level, spread=Spread(8.0, 0.3))


@dataclass(frozen=True)
class Told:
    """One frame's observation, and what was forced before it."""

    forced: tuple[EventChange, ...]
    seen: Observation

    @property
    def changes(self) -> list[EventChange]:
        return [*self.forced, *self.seen.ended, *(change for zone in self.seen.zones for change in zone.changes)]


def watch(course: Sequence[Shown], watching: CameraMonitor) -> list[Told]:
    told = []
    for number, shown in enumerate(course):
        now_s = 1e9 + number * STEP_S
        forced = tuple(watching.force_end(shown.forced, now_s)) if shown.forced else ()
        told.append(Told(forced, watching.observe(scored(number, shown), now_s)))
    return told


@given(st.lists(FRAMES, max_size=60))
def test_each_event_starts_once_ends_once_and_zones_are_apart(course: list[Shown]) -> None:
    watching = monitor()
    changes = [change for told in watch(course, watching) for change in told.changes]
    changes += watching.force_end(EndReason.NORMAL, 2e9)
    for zone in ("", "left"):
        own = [change for change in changes if change.event.zone == zone]
        kinds = [change.type for change in own if change.type != EventType.ANOMALY_UPDATED]
        assert kinds == [EventType.ANOMALY_STARTED, EventType.ANOMALY_ENDED] * (len(kinds) // 2)
        started = [change.event.id for change in own if change.type == EventType.ANOMALY_STARTED]
        ended = [change.event for change in own if change.type == EventType.ANOMALY_ENDED]
        assert started == [event.id for event in ended]
        assert len(set(started)) == len(started)
        assert all(event.reason is not None and event.peak.score >= POLICY.end_threshold for event in ended)
        assert all((event.end_wall_s or 0) >= event.start_wall_s for event in ended)
        assert all(e.predecessor_id in (None, started[n - 1] if n else None) for n, e in enumerate(ended))


@given(st.lists(FRAMES, max_size=60))
def test_a_picture_that_cannot_be_watched_is_not_judged_and_ends_what_is_open(course: list[Shown]) -> None:
    for shown, told in zip(course, watch(course, monitor()), strict=True):
        seen = told.seen
        if shown.black:
            assert not seen.counts
            assert seen.zones == ()
            assert seen.drift is None
        assert seen.quiet <= seen.counts
        assert all(change.event.reason == EndReason.TAMPER for change in seen.ended)
        assert bool(seen.tamper) == bool(seen.tampered)
        if seen.tamper and seen.tamper.active:
            assert not any(zone.changes for zone in seen.zones)


@given(st.lists(FRAMES, max_size=40))
def test_the_same_frames_come_to_the_same(course: list[Shown]) -> None:
    first, again = watch(course, monitor()), watch(course, monitor())
    assert [told.changes for told in first] == [told.changes for told in again]
    assert [told.seen.tampered for told in first] == [told.seen.tampered for told in again]


@given(st.lists(FRAMES, min_size=1, max_size=40))
def test_what_a_zone_says_of_a_frame_is_what_the_frame_is(course: list[Shown]) -> None:
    for shown, told in zip(course, watch(course, monitor()), strict=True):
        for zone in told.seen.zones:
            assert zone.level == (shown.left if zone.name == "left" else shown.right)
            assert not (zone.idle and zone.holds)
            assert not zone.at_peak or zone.holds
        if told.seen.zones:
            assert told.seen.ratio == pytest.approx(max(shown.left, shown.right) / POLICY.start_threshold)
            assert told.seen.normal == (max(shown.left, shown.right) < POLICY.end_threshold)


def test_two_threads_that_touch_one_monitor_are_a_defect() -> None:
    watching = monitor()
    watching.observe(scored(0, Shown(0, 0)), 1e9)
    failures: list[BaseException] = []

    def touch() -> None:
        try:
            watching.observe(scored(1, Shown(0, 0)), 1e9)
        except AssertionError as error:
            failures.append(error)

    other = threading.Thread(target=touch)
    other.start()
    other.join()
    assert "two threads" in str(failures[0])
    watching.owner = None  # passed on
    assert watching.observe(scored(2, Shown(0, 0)), 1e9).counts
