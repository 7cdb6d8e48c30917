"""A heat map of every event's peak, written when the event ends."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from streamwatch.logs import about
from streamwatch.records import Box, Event, FrameScore, UInt8Array
from streamwatch.video.overlay import black_out, heat_overlay, pixelate, write_picture

log = logging.getLogger(__name__)
Polygons = Sequence[Sequence[tuple[float, float]]]


@dataclass(frozen=True)
class Privacy:
    """What of a camera's pictures may not be seen.

    Attributes:
        polygons: blacked out.
        pixelate: what is not of an event's region is shown in coarse squares.
    """

    polygons: Polygons = ()
    pixelate: bool = False

    def covered(self, picture: UInt8Array, boxes: Sequence[Box] = ()) -> UInt8Array:
        """The picture (H, W, 3) as it may be seen, ``boxes`` being the event's region."""
        return black_out(pixelate(picture, boxes) if self.pixelate else picture, self.polygons)


NO_PRIVACY = Privacy()


class SnapshotWriter:
    """Keeps the strongest frame of each open event, and writes it as ``DIR/EVENT_ID.jpg``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._privacy: dict[str, Privacy] = {}
        self._peaks: dict[tuple[str, str], FrameScore] = {}

    def protect(self, camera: str, privacy: Privacy) -> None:
        """Cover every picture of ``camera`` that is written."""
        self._privacy[camera] = privacy

    def note_peak(self, scored: FrameScore, zone: str) -> None:
        """Remember the frame that is the strongest so far of what is pending or open in a zone of its camera."""
        self._peaks[scored.frame.camera, zone] = scored

    def write(self, event: Event) -> Path | None:
        """Write the peak of ``event``; None if its picture was not kept or cannot be written."""
        scored = self._peaks.pop((event.camera, event.zone), None)
        if scored is None or scored.frame.picture is None:
            return None
        privacy = self._privacy.get(event.camera, NO_PRIVACY)
        picture = privacy.covered(scored.frame.picture.rgb(), event.peak.boxes)
        overlay = heat_overlay(
            picture,
            scored.level_grid,
            low=0.75 * event.end_threshold,
            high=max(1.5 * event.start_threshold, event.peak.score),
            boxes=event.peak.boxes,
            caption=f"{event.camera}  {event.peak.time_s:.1f} s  score {event.peak.score:.1f}",
        )
        path = self._folder / f"{event.id}.jpg"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_picture(str(path), overlay)
        except OSError as error:  # evidence must never stop detection
            log.warning("snapshot of event %s not written: %s", event.id, error, extra=about(event))
            return None
        return path
