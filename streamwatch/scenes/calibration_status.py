"""Which cameras are still calibrating, and what their footage rules out."""

from __future__ import annotations

from collections.abc import Mapping

from streamwatch.enums import CameraState
from streamwatch.metrics import Metrics
from streamwatch.scenes.policy import CalibratedPolicy


class CalibrationStatus:
    """Shows what each camera may raise, what its footage rules out, and whether that is enough."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._calibrating: set[str] = set()
        self._shown: dict[str, Mapping[str, CalibratedPolicy]] = {}

    def show(self, camera: str, policies: Mapping[str, CalibratedPolicy]) -> None:
        """Expose a camera's budget and bound, and remember whether it is still calibrating."""
        self._shown[camera] = policies
        provisional = any(calibrated.policy.provisional for calibrated in policies.values())
        (self._calibrating.add if provisional else self._calibrating.discard)(camera)
        known = [judged.thresholds for calibrated in policies.values() for judged in calibrated.fields]
        if known:
            self._metrics.alarm_budget.labels(camera).set(sum(t.budget_per_day for t in known))
            self._metrics.alarms_bound.labels(camera).set(sum(t.bound_per_day for t in known))

    def unlearned(self, camera: str) -> None:
        """The camera shows what none of its models learned."""
        self._calibrating.add(camera)

    def zones_of(self, camera: str) -> Mapping[str, CalibratedPolicy]:
        """How a camera's zones are judged now; nothing of one that is not watched."""
        return self._shown.get(camera, {})

    def state_of(self, camera: str) -> CameraState:
        """The state of a camera that delivers frames."""
        return CameraState.CALIBRATING if camera in self._calibrating else CameraState.RUNNING
