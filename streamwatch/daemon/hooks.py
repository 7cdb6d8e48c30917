"""What lower parts tell the daemon: functions that they are given, so that none of them knows of it."""

from __future__ import annotations

import logging
from collections.abc import Callable

from streamwatch.alerts.manager import DeliveryManager
from streamwatch.capture.liveness import Liveness
from streamwatch.capture.status import FleetStatus
from streamwatch.clock import Clock
from streamwatch.daemon.config_file import CurrentConfig
from streamwatch.daemon.degraded import DegradedState
from streamwatch.detection.publisher import Publisher
from streamwatch.detection.waiting import Publication
from streamwatch.enums import Degradation, DropReason, EventType
from streamwatch.ids import uuid7
from streamwatch.metrics import Metrics
from streamwatch.records import Notice
from streamwatch.retry import caught
from streamwatch.scenes.calibration_status import CalibrationStatus

log = logging.getLogger(__name__)


class Hooks:
    """Called from any thread.

    Args:
        device: that inference is measured on.
    """

    def __init__(
        self,
        config: CurrentConfig,
        *,
        status: FleetStatus,
        liveness: Liveness,
        calibration: CalibrationStatus,
        metrics: Metrics,
        clock: Clock,
        device: str,
    ) -> None:
        self._config, self._status, self._liveness = config, status, liveness
        self._calibration, self._metrics, self._clock, self._device = calibration, metrics, clock, device
        self._publisher: Publisher | None = None
        self._deliver_now: Callable[[Notice], None] = lambda _: None
        self._connected: Callable[[str], None] = lambda _: None
        self._told: dict[Degradation, Notice] = {}
        self.degraded = DegradedState(self._report_degraded)

    def connect(self, publisher: Publisher, deliveries: DeliveryManager) -> None:
        """From now on what is degraded is told, and of the database's own faults past it, and who is connected is known."""
        self._publisher, self._deliver_now, self._connected = publisher, deliveries.deliver_now, deliveries.present.connected

    def stuck(self, what: Degradation) -> None:
        """It is so, and the notice of it may never be stored: it is delivered now as well."""
        self.degraded.record(what, True)
        failure = caught(lambda: self._deliver_now(self._told[what]))
        if failure is not None:
            log.error("%s: this could not be told past the database", what, exc_info=failure)

    def measure_batch(self, frames: int, duration_s: float) -> None:
        """A batch of so many frames took so long on the device."""
        self._metrics.inference_duration.labels(self._device).observe(duration_s)
        self._metrics.inference_batch_size.labels(self._device).observe(frames)

    def frame_came(self, camera: str) -> None:
        """A camera handed over a frame."""
        self._connected(camera)
        self._status.set_state(camera, self._calibration.state_of(camera))

    def picture_came(self, camera: str, unusable: DropReason | None) -> None:
        """A camera sent a picture, whether or not it can be used."""
        self._liveness.record(camera, unusable)

    def may_keep(self, camera: str) -> bool:
        """Whether pictures of ``camera`` may be stored as the model sees them, where nothing is blacked out."""
        config = self._config.value
        known = config.cameras.get(camera)
        return known is not None and not known.privacy and not config.settings(camera).pixelate

    def updates(self, camera: str) -> bool:
        """Whether frames of ``camera`` are kept for a nightly update."""
        return self.may_keep(camera) and self._config.value.settings(camera).nightly_update

    def written(self, what: Degradation, written: bool) -> None:
        """Something was, or could not be, written."""
        self.degraded.record(what, not written)

    def happened(self, what: Degradation) -> None:
        """It was so for a moment, and is over; it is told all the same."""
        self.degraded.record(what, True)
        self.degraded.record(what, False)

    def given_up(self, events: int) -> None:
        """Pictures of so many events were given up; 0 when that is over."""
        self._metrics.evidence_dropped.inc(events)
        self.degraded.record(Degradation.EVIDENCE_GIVEN_UP, events > 0)

    def _report_degraded(self, what: Degradation, active: bool) -> None:
        now_s = self._clock.wall_s()
        notice = Notice(uuid7(now_s), EventType.SYSTEM_DEGRADED, "", now_s, (("what", what.value), ("active", active)))
        self._told[what] = notice
        if self._publisher is not None:
            self._publisher.publish(Publication(notice))
