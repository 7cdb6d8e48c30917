"""What a camera's monitor says, handed on: changes to the publisher with their evidence, figures to the metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from streamwatch.capture.status import FleetStatus
from streamwatch.clock import Clock
from streamwatch.detection.camera_monitor import Observation
from streamwatch.detection.live_measures import LiveMeasures
from streamwatch.detection.publisher import Publisher, ScoreSubscriber
from streamwatch.detection.waiting import Publication
from streamwatch.enums import EventType, LatencyStage, TamperKind
from streamwatch.events.tamper import TamperChange
from streamwatch.evidence.collector import EvidenceCollector
from streamwatch.evidence.normal_frames import NormalFrameSelector
from streamwatch.evidence.writer import EvidenceWriter
from streamwatch.metrics import Metrics
from streamwatch.records import Event, EventChange, Notice
from streamwatch.scenes.policy import ScenePolicy
from streamwatch.scores import FrameScore

OnRegime = Callable[[str, str, ScenePolicy | None], None]


@dataclass(frozen=True)
class Outputs:
    """Where what happens goes; nothing of it waits.

    Attributes:
        collector: holds what events need, until it is written.
        writer: writes the frames that are kept for the nightly update.
        selector: chooses those.
        measures: takes what the fields measured, to calibrate on; None for recordings.
        scores: told of every scored frame.
        on_regime: told camera, regime and its policy (None if it was not learned) when another scene watches.
    """

    publisher: Publisher
    collector: EvidenceCollector
    writer: EvidenceWriter
    selector: NormalFrameSelector
    measures: LiveMeasures | None = None
    scores: tuple[ScoreSubscriber, ...] = ()
    on_regime: OnRegime = lambda *_: None


class Reporter:
    """Hands on, in the order in which it happened."""

    def __init__(self, outputs: Outputs, *, status: FleetStatus, metrics: Metrics, clock: Clock) -> None:
        self._outputs, self._status, self._metrics, self._clock = outputs, status, metrics, clock
        self._told: dict[tuple[str, str], Event] = {}

    @property
    def told_open(self) -> list[Event]:
        """The events of which everybody was told that they began, and nobody that they ended."""
        return list(self._told.values())

    def report(self, scored: FrameScore, observation: Observation) -> None:
        """One frame and what it came to."""
        captured_at_s = scored.frame.captured_at_s
        self.report_changes(observation.ended)
        if observation.tampered:
            self.report_notice(observation.tampered)
        for zone in observation.zones:
            for change, evidence in self._outputs.collector.collect(scored, zone):
                self._publish(Publication(change, evidence, captured_at_s), change)
        if observation.drifted:
            self.report_notice(observation.drifted)
        kept = self._outputs.selector.observe(scored, quiet=observation.quiet, normal=observation.normal)
        if kept is not None:
            self._outputs.writer.put(kept)
        if self._outputs.measures:
            frame = scored.frame
            self._outputs.measures.record(frame.camera, frame.wall_s, observation, frame.segment)
        self._measure(scored, observation)  # before anybody is told, who may ask whether the camera is scored
        for subscriber in self._outputs.scores:
            subscriber(scored, observation.counts)

    def report_changes(self, changes: Iterable[EventChange]) -> None:
        """Changes that no frame decided."""
        for change in changes:
            self._publish(Publication(change, self._outputs.collector.evidence_of(change)), change)

    def report_notice(self, notice: Notice) -> None:
        """A notice."""
        self._outputs.publisher.publish(Publication(notice))

    def report_regime(self, camera: str, regime: str, policy: ScenePolicy | None) -> None:
        """Another scene watches a camera, or none that was learned."""
        self._outputs.on_regime(camera, regime, policy)

    def forget_told(self, event: Event) -> None:
        """Nobody is told that it ended."""
        self._told.pop((event.camera, event.zone), None)

    def _publish(self, publication: Publication, change: EventChange) -> None:
        key = change.event.camera, change.event.zone
        if change.type != EventType.ANOMALY_ENDED:
            self._told[key] = change.event
        self._outputs.publisher.publish(publication)
        if change.type == EventType.ANOMALY_ENDED:
            self._told.pop(key, None)

    def _measure(self, scored: FrameScore, observation: Observation) -> None:
        camera, metrics = scored.frame.camera, self._metrics
        now_s = self._clock.monotonic_s()
        self._status.score(camera, now_s, scored.frame.wall_s)
        if scored.reused:
            metrics.frames_reused.labels(camera).inc()
        metrics.anomaly_score.labels(camera).set(scored.level)
        metrics.anomaly_score_ratio.labels(camera).set(observation.ratio)
        metrics.frame_latency.labels(LatencyStage.CAPTURE_TO_SCORE).observe(now_s - scored.frame.captured_at_s)
        if observation.drift:
            ratio, limit = observation.drift
            metrics.drift_ratio.labels(camera).set(ratio)
            metrics.drift_limit.labels(camera).set(limit)
        if observation.tamper:
            self._show_tamper(camera, observation.tamper)

    def _show_tamper(self, camera: str, change: TamperChange) -> None:
        for kind in TamperKind:
            self._metrics.tamper.labels(camera, kind).set(1 if change.active and kind == change.kind else 0)
