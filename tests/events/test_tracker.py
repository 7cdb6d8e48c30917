"""Events dressed with ids, times, regions and links."""

from __future__ import annotations

import uuid

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamwatch.enums import EndReason
from streamwatch.events.decision import EventPolicy
from streamwatch.events.region import boxes_over, polygon_mask
from streamwatch.events.tracker import EventTracker, ZonePolicy
from streamwatch.ids import uuid7
from streamwatch.records import Box, EventChange, Frame
from streamwatch.scores import FrameScore
from tests.scores import frame_score

PIXELS = np.zeros((256, 256, 3), np.uint8)


def scored(time_s: float, score: float, cell: tuple[int, int] = (10, 20)) -> FrameScore:
    grid = np.ones((64, 64), np.float32)
    grid[cell] = score
    frame = Frame("cam", round(time_s * 10), time_s, 1e9 + time_s, 0.0, PIXELS)
    level = float(grid.max())
    return frame_score(frame, grid, level, fields=(("appearance", level),))


def tracked(scores: list[float], rules: EventPolicy) -> tuple[EventTracker, list[EventChange]]:
    tracker = EventTracker("cam", ZonePolicy(rules, alert_threshold=14), new_id=uuid7)
    changes = [change for i, score in enumerate(scores) for change in tracker.observe(scored(i * 0.5, score, (10, 20 + i)))]
    return tracker, changes


def test_an_event_carries_its_peaks_region_and_both_times() -> None:
    rules = EventPolicy(10, 6, min_duration_s=1, end_delay_s=1, cooldown_s=1)
    _, changes = tracked([1, 12, 15, 12, 1, 1, 1, 1], rules)
    assert [c.type for c in changes] == ["anomaly.started", "anomaly.ended"]
    event = changes[1].event
    assert (event.severity, event.provisional) == ("alert", False)
    assert (event.start_time_s, event.end_time_s, event.start_wall_s) == (0.5, 1.5, 1e9 + 0.5)
    assert (event.peak.score, event.peak.time_s, event.reason) == (15, 1.0, "normal")
    assert event.peak.boxes == (Box(22 / 64, 10 / 64, 23 / 64, 11 / 64),)
    assert changes[0].event.id == event.id


def test_an_open_event_that_becomes_an_alert_is_told_once() -> None:
    rules = EventPolicy(10, 6, min_duration_s=1, end_delay_s=1, cooldown_s=1)
    _, changes = tracked([12, 12, 12, 15, 16, 12, 1, 1, 1, 1], rules)
    assert [(c.type, c.event.severity) for c in changes] == [
        ("anomaly.started", "warning"),
        ("anomaly.updated", "alert"),
        ("anomaly.ended", "alert"),
    ]
    assert changes[1].event.peak.score == 15
    assert changes[2].event.peak.score == 16


def test_a_zone_sees_its_own_cells_only() -> None:
    rules = EventPolicy(10, 6, min_duration_s=0.5, end_delay_s=1, cooldown_s=1)
    cells = np.zeros((64, 64), bool)
    cells[:, :30] = True
    policy = ZonePolicy(rules, cells=cells, provisional=True)
    tracker = EventTracker("cam", policy, new_id=uuid7, zone="gate")
    changes = [c for i in range(4) for c in tracker.observe(scored(i * 0.5, 12, (10, 40)))]
    assert changes == []
    changes = [c for i in range(4, 8) for c in tracker.observe(scored(i * 0.5, 12, (10, 20)))]
    assert [(c.type, c.event.zone, c.event.provisional) for c in changes] == [("anomaly.started", "gate", True)]
    assert changes[0].event.peak.boxes == (Box(20 / 64, 10 / 64, 21 / 64, 11 / 64),)


def test_a_successor_names_its_predecessor() -> None:
    rules = EventPolicy(10, 6, min_duration_s=0.5, end_delay_s=1, cooldown_s=1, max_duration_s=2)
    _, changes = tracked([12] * 8, rules)
    first, ended, second = changes[:3]
    assert ended.event.reason == "max_duration"
    assert second.event.predecessor_id == first.event.id != second.event.id


def test_force_end_closes_what_is_open() -> None:
    tracker, _ = tracked([12] * 4, EventPolicy(10, 6, min_duration_s=1))
    assert tracker.open_event is not None
    (change,) = tracker.force_end(EndReason.SHUTDOWN, 1e9 + 9)
    assert (change.event.reason, change.event.end_time_s) == ("shutdown", 1.5)
    assert tracker.force_end(EndReason.SHUTDOWN, 1e9 + 10) == []


@given(st.floats(0, 2e11))
def test_ids_are_uuid7_and_sort_by_time(wall_s: float) -> None:
    value = uuid.UUID(uuid7(wall_s))
    assert value.version == 7
    assert value.variant == uuid.RFC_4122
    assert value.int >> 80 == int(wall_s * 1000) & (2**48 - 1)
    assert uuid7(wall_s) != uuid7(wall_s)


def test_boxes_are_separate_and_strongest_first() -> None:
    grid = np.zeros((64, 64), np.float32)
    grid[0:4, 0:8], grid[30:32, 60:64] = 5, 9
    assert boxes_over(grid, 4) == (Box(60 / 64, 30 / 64, 1, 0.5), Box(0, 0, 8 / 64, 4 / 64))
    assert boxes_over(grid, 10) == ()


def test_polygon_cells_by_their_centres() -> None:
    mask = polygon_mask([[(0, 0), (1, 0), (1, 0.1), (0, 0.1)]], (64, 64))
    assert mask[:6].all()
    assert not mask[6:].any()
    triangle = polygon_mask([[(0, 0), (1, 0), (0, 1)]], (64, 64))
    assert abs(int(triangle.sum()) - 2048) <= 64


def test_an_end_is_never_before_its_last_frame_though_a_recording_is_ahead_of_the_clock() -> None:
    tracker, changes = tracked([20.0] * 10, EventPolicy(10.0, 8.0))
    assert changes
    (end,) = tracker.force_end(EndReason.NORMAL, 0.0)
    assert end.at_wall_s >= changes[-1].at_wall_s
