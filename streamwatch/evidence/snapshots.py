"""The heat map of an event's peak."""

from __future__ import annotations

from streamwatch.evidence.privacy import Privacy
from streamwatch.records import Event, UInt8Array
from streamwatch.scores import FrameScore
from streamwatch.video.overlay import heat_overlay


def draw_snapshot(event: Event, scored: FrameScore, privacy: Privacy) -> UInt8Array | None:
    """The peak of ``event`` with its heat map, (H, W, 3) RGB; None if its picture was not kept."""
    if scored.frame.picture is None:
        return None
    return heat_overlay(
        privacy.covered(scored.frame.picture.rgb(), event.peak.boxes),
        scored.level_grid,
        low=0.75 * event.end_threshold,
        high=max(1.5 * event.start_threshold, event.peak.score),
        boxes=event.peak.boxes,
        caption=f"{event.camera}  {event.peak.time_s:.1f} s  score {event.peak.score:.1f}",
    )
