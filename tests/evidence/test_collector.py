"""What events need is collected while their frames pass, and of nothing that they do not hold."""

from __future__ import annotations

import numpy as np

from streamwatch.events.decision import EventPolicy
from streamwatch.events.tracker import EventTracker, ZonePolicy
from streamwatch.evidence.collector import EventEvidence, EvidenceCollector
from streamwatch.ids import uuid7
from streamwatch.records import Frame
from streamwatch.scores import FrameScore
from tests.scores import frame_score

PIXELS = np.zeros((256, 256, 3), np.uint8)
POLICY = EventPolicy(10, 6, min_duration_s=1, end_delay_s=1, cooldown_s=1)


def scored(wall_s: float, level: float, segment: int, time_s: float) -> FrameScore:
    grid = np.full((64, 64), level, np.float32)
    return frame_score(Frame("cam", 0, time_s, wall_s, 0.0, PIXELS, segment=segment), grid, level)


def collected(frames: list[FrameScore]) -> list[EventEvidence]:
    tracker, collector = EventTracker("cam", ZonePolicy(POLICY), new_id=uuid7), EvidenceCollector()
    told = [pair for one in frames for pair in collector.collect(one, tracker.advance(one))]
    return [evidence for _, evidence in told if evidence]


def test_an_event_that_was_pending_before_a_cut_has_nothing_of_before() -> None:
    """Its start, its levels and its model inputs are of the connection that it happened in."""
    before = [scored(100.0 + n / 2, 50, 0, 7.0 + n / 2) for n in range(2)]
    after = [scored(102.0 + n / 2, 12, 1, 8.0 + n / 2) for n in range(3)]
    over = [scored(103.5 + n, 0, 1, 9.5 + n) for n in range(3)]
    started, ended = collected(before + after + over)
    assert started.start
    assert started.start.frame.wall_s == started.event.start_wall_s == 102.0
    assert ended.frames
    assert {frame.segment for frame in ended.frames.frames} == {1}
    assert min(time_s for time_s, _ in ended.points) == 8.0
    assert ended.event.peak.score == 12
