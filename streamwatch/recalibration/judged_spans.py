"""Events that people said something of, and what that means for what their camera is calibrated on."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from streamwatch.config.schema import Config
from streamwatch.errors import ModelFileError
from streamwatch.learning.feedback import journal_of
from streamwatch.model.calibration.live_footage import Span, without
from streamwatch.model.calibration.thresholds import DAY_S
from streamwatch.records import Event, LivePeaks
from streamwatch.scenes.model_files import camera_model_paths
from streamwatch.store.event_store import EventQuery, EventStore

log = logging.getLogger(__name__)
MAX_EVENTS = 100_000
LABELS_DAYS = 1000.0
AROUND_S = 1.0
"""An event's peak may be noted a moment before it began: times are rounded."""


@dataclass(frozen=True)
class JudgedSpans:
    """When events were that people judged.

    Attributes:
        anomalies: of those that are none of the scene's normal life.
        taught: of those that the model was taught, and that it does not raise again.
    """

    anomalies: tuple[Span, ...] = ()
    taught: tuple[Span, ...] = ()

    def left_of(self, live: LivePeaks) -> LivePeaks:
        """What remains to calibrate on."""
        return without(without(live, self.anomalies, watched=False), self.taught, watched=True)


def judged_spans(store: EventStore, config: Config, camera: str, now_wall_s: float) -> JudgedSpans:
    """Those of a camera, of the last years.

    Raises:
        StoreError: the database refuses.
    """
    since_s = now_wall_s - DAY_S * LABELS_DAYS
    settings = config.settings(camera)
    closing_s = max(settings.end_delay, settings.cooldown)

    def labelled(label: str) -> list[Event]:
        return store.list_events(EventQuery(camera=camera, label=label, since_s=since_s, limit=MAX_EVENTS))

    def span(event: Event) -> Span:
        ended_s = float("inf") if event.end_wall_s is None else event.end_wall_s + closing_s
        return event.start_wall_s - AROUND_S, ended_s

    normal = labelled("normal")
    taught = _taught(config, camera) if normal else set()
    return JudgedSpans(
        tuple(span(event) for event in labelled("anomaly")), tuple(span(event) for event in normal if event.id in taught)
    )


def _taught(config: Config, camera: str) -> set[str]:
    """Ids of the events that the camera's models hold as feedback; one whose journal cannot be read holds none."""
    found = set[str]()
    for path in camera_model_paths(config, camera):
        try:
            found |= {entry.event_id for entry in journal_of(config, camera, path).entries()}
        except ModelFileError as error:
            log.warning("camera %s: events that it was taught count as alarms: %s", camera, error, extra={"camera": camera})
    return found
