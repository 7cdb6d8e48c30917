"""What is needed of each pending or open event, held in memory until it is written.

It belongs to the scoring thread and touches no file: what it gives out is written by ``writer.EvidenceWriter``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from streamwatch.enums import EventType
from streamwatch.events.tracker import ZoneObservation
from streamwatch.evidence.event_frames import EventFrameSampler, FrameSample
from streamwatch.evidence.layout import path_of
from streamwatch.evidence.privacy import NO_PRIVACY, Privacy
from streamwatch.evidence.sparkline import Levels, Points
from streamwatch.records import Event, EventChange
from streamwatch.scores import FrameScore

ClipDone = Callable[[Event, Mapping[str, Any]], None]


class ClipSink(Protocol):
    """Keeps the video of events; nothing here waits for a disk."""

    def begin(self, event: Event) -> None:
        """An event started."""
        ...

    def extend(self, camera: str, zone: str, time_s: float) -> None:
        """What is seen at ``time_s`` belongs to the event of a zone, if one is open."""
        ...

    def finish(self, event: Event, done: ClipDone) -> None:
        """An event ended; ``done`` is told what its clip came to, when that is known, by another thread."""
        ...


class NoClips:
    """Keeps none."""

    def begin(self, event: Event) -> None:
        """See ClipSink."""

    def extend(self, camera: str, zone: str, time_s: float) -> None:
        """See ClipSink."""

    def finish(self, event: Event, done: ClipDone) -> None:
        """See ClipSink."""


@dataclass(frozen=True)
class EventEvidence:
    """What is to be written of an event, as it is now.

    Attributes:
        start, peak: the frames that it began with and that was the strongest; None if there is nothing to write of them.
        points: (time_s, level) over time; empty if not to be drawn.
        frames: what the model saw; None if it is not to be kept.
        clip: what its video came to; None if that is not known.
        facts: by what models and configuration it came about.
        ended: its document is to be written.
    """

    event: Event
    start: FrameScore | None = None
    peak: FrameScore | None = None
    points: Points = ()
    frames: FrameSample | None = None
    clip: Mapping[str, Any] | None = None
    privacy: Privacy = NO_PRIVACY
    facts: Mapping[str, Any] = field(default_factory=dict)
    ended: bool = False

    @property
    def holds_pictures(self) -> bool:
        """Whether it holds pictures, which are what is large."""
        return self.start is not None or self.peak is not None or self.frames is not None

    def without_pictures(self) -> EventEvidence:
        """The same, its pictures given up."""
        return replace(self, start=None, peak=None, frames=None)

    def snapshot_path(self, folder: Path) -> Path | None:
        """Where its heat map will be; None if it gets none."""
        drawn = self.ended and self.peak is not None and self.peak.frame.picture is not None
        return path_of(folder, "snapshots", self.event.id) if drawn else None


class EvidenceCollector:
    """Collects what events need while their frames pass.

    Args:
        clips: keeps their video.
        may_keep: told a camera, whether its pictures may be stored as the model sees them.
        on_clip: told when an ended event's clip is complete.
    """

    def __init__(
        self,
        *,
        clips: ClipSink | None = None,
        may_keep: Callable[[str], bool] = lambda _: True,
        on_clip: Callable[[EventEvidence], None] = lambda _: None,
    ) -> None:
        self._clips, self._on_clip = clips or NoClips(), on_clip
        self._frames = EventFrameSampler(may_keep)
        self._privacy: dict[str, Privacy] = {}
        self._facts: dict[str, Mapping[str, Any]] = {}
        self._levels: dict[tuple[str, str], Levels] = {}
        self._starts: dict[tuple[str, str], FrameScore] = {}
        self._peaks: dict[tuple[str, str], FrameScore] = {}

    def protect(self, camera: str, privacy: Privacy) -> None:
        """Cover every picture of ``camera`` that is written from now on."""
        self._privacy[camera] = privacy

    def describe(self, camera: str, facts: Mapping[str, Any]) -> None:
        """What every document of ``camera`` says of how it came about, JSON-ready and without secrets."""
        self._facts[camera] = facts

    def collect(self, scored: FrameScore, zone: ZoneObservation) -> list[tuple[EventChange, EventEvidence | None]]:
        """Take one zone of one scored frame; its changes, each with what is to be written of it."""
        key = (scored.frame.camera, zone.name)
        if zone.cut:
            self.forget(*key)
            self._levels.pop(key, None)
        levels = self._levels.setdefault(key, Levels())
        levels.add(scored.frame.time_s, zone.level, keep=zone.lasts)
        if zone.holds:
            self._starts.setdefault(key, scored)
            self._clips.extend(*key, scored.frame.time_s)
        changes = [(change, self.evidence_of(change)) for change in zone.changes]
        if zone.at_peak:
            self._peaks[key] = scored
        if zone.holds:
            self._frames.record(scored, zone.name, zone.cells)
        elif zone.idle:
            self.forget(*key)
        return changes

    def evidence_of(self, change: EventChange) -> EventEvidence | None:
        """What is to be written of a change: the start's picture, and everything else at the end."""
        event, key = change.event, (change.event.camera, change.event.zone)
        known = EventEvidence(event, privacy=self._privacy.get(key[0], NO_PRIVACY), facts=self._facts.get(key[0], {}))
        if change.type == EventType.ANOMALY_STARTED:
            self._clips.begin(event)
            return replace(known, start=self._starts.get(key))
        if change.type != EventType.ANOMALY_ENDED:
            return None
        self._clips.finish(event, lambda ended, clip: self._on_clip(replace(known, event=ended, clip=clip)))
        levels, peak, frames = self._levels.get(key), self._peaks.get(key), self._frames.take(*key)
        self.forget(*key)
        return replace(known, peak=peak, points=levels.points() if levels else (), frames=frames, ended=True)

    def forget(self, camera: str, zone: str) -> None:
        """What was pending came to nothing, or an event is over."""
        self._starts.pop((camera, zone), None)
        self._peaks.pop((camera, zone), None)
        self._frames.forget(camera, zone)
