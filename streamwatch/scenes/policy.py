"""From a configuration and a model's calibration to what decides about a camera's events, zone by zone."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from streamwatch.config.arming import armed
from streamwatch.config.schema import Config
from streamwatch.errors import ModelMissing
from streamwatch.events.decision import EventPolicy
from streamwatch.events.drift import DriftMonitor
from streamwatch.events.tracker import ZonePolicy
from streamwatch.inference.engine import WatchedScene
from streamwatch.model.calibration.thresholds import Calibration, NormalPeaks, Thresholds, end_threshold_for, thresholds_for
from streamwatch.model.scene import SceneModel
from streamwatch.records import BoolGrid
from streamwatch.scenes.zones import zone_masks

log = logging.getLogger(__name__)

ALERT_BUDGETS = 0.1
"""A peak is an alert if it would also cross the threshold of a tenth of the budget."""
ALERT_BY_HAND = 1.25
"""With a threshold by hand: an alert is a quarter above it."""


@dataclass(frozen=True)
class CalibratedPolicy:
    """A zone's policy, and how sure its thresholds are; ``thresholds`` is None if they were given by hand."""

    policy: ZonePolicy
    thresholds: Thresholds | None


@dataclass(frozen=True)
class ScenePolicy:
    """One scene, and what decides about its scores.

    Attributes:
        zones: by name.
        calm_spread: what the spread of its normal footage stays below; None if it does not say.
        drift: None for a model that does not say what spread is usual.
    """

    scene: WatchedScene
    zones: Mapping[str, CalibratedPolicy]
    calm_spread: float | None
    drift: DriftMonitor | None

    @property
    def policies(self) -> dict[str, ZonePolicy]:
        """What the trackers decide by, by zone."""
        return {zone: calibrated.policy for zone, calibrated in self.zones.items()}


def scene_policy_for(config: Config, camera: str, scene: WatchedScene, snoozed: Callable[[str, float], bool]) -> ScenePolicy:
    """The policy of one of a camera's scenes; raises as ``policies_for``."""
    calibration = scene.model.calibration_
    usual, calm = (calibration.usual_spread, calibration.calm_spread) if calibration else (None, None)
    drift = DriftMonitor(usual, calm) if usual is not None and calm is not None else None
    return ScenePolicy(scene, policies_for(config, camera, scene.model, snoozed), calm, drift)


def _never(_camera: str, _wall_s: float) -> bool:
    return False


def policies_for(
    config: Config, camera: str, model: SceneModel, snoozed: Callable[[str, float], bool] = _never
) -> dict[str, CalibratedPolicy]:
    """The policies of all zones of a camera; ``""`` is the picture outside of its named zones.

    Args:
        snoozed: told a camera and a Unix time, whether its events are switched off.

    Raises:
        ModelMissing: ``threshold: auto``, and the model has no calibration.
    """
    masks = zone_masks(config, camera, model.grid)
    found = {zone: _policy_of(config, camera, zone, cells, model.calibration_) for zone, cells in masks.items()}
    return {zone: _with_hours(policy, config, camera, zone, snoozed) for zone, policy in found.items()}


def _with_hours(
    calibrated: CalibratedPolicy, config: Config, camera: str, zone: str, snoozed: Callable[[str, float], bool]
) -> CalibratedPolicy:
    """Armed by its own schedule, or its camera's, while the camera is not snoozed."""
    own = config.cameras[camera].zones[zone].schedule if zone else ()
    windows = own or config.cameras[camera].schedule

    def is_armed(wall_s: float) -> bool:
        return armed(windows, wall_s) and not snoozed(camera, wall_s)

    return replace(calibrated, policy=replace(calibrated.policy, armed=is_armed))


def _policy_of(
    config: Config, camera: str, zone: str, cells: BoolGrid | None, calibration: Calibration | None
) -> CalibratedPolicy:
    threshold = config.cameras[camera].threshold
    if threshold != "auto":
        start = float(threshold)
        events = _event_policy(config, camera, start, end_threshold_for(start, calibration))
        return CalibratedPolicy(ZonePolicy(events, ALERT_BY_HAND * start, provisional=False, cells=cells), None)
    if calibration is None:
        raise ModelMissing(f"camera {camera}'s model has no thresholds", hint="fit it again, or set `threshold`")
    known = calibration.peaks_of(zone)
    if known is None:
        return _by_quantile(config, camera, zone, cells, calibration)
    _warn_of_other_event_policy(config, camera, known)
    budget = budget_of(config, camera, zone)
    thresholds, stricter = thresholds_for(known, budget), thresholds_for(known, ALERT_BUDGETS * budget)
    events = _event_policy(config, camera, thresholds.start, thresholds.end)
    return CalibratedPolicy(ZonePolicy(events, stricter.start, thresholds.provisional, cells), thresholds)


def budget_of(config: Config, camera: str, zone: str) -> float:
    """False alarms per day that a zone may raise: its own budget, or its camera's."""
    own = config.cameras[camera].zones[zone].alarm_budget if zone else None
    return config.settings(camera).alarm_budget if own is None else own


def budgets_of(config: Config, camera: str) -> dict[str, float]:
    """The budget of every zone of a camera, false alarms per day."""
    return {zone: budget_of(config, camera, zone) for zone in ("", *config.cameras[camera].zones)}


def _by_quantile(config: Config, camera: str, zone: str, cells: BoolGrid | None, calibration: Calibration) -> CalibratedPolicy:
    """Thresholds of a model whose calibration says nothing of this zone."""
    log.warning(
        "camera %s: its model was calibrated without %s: run `streamwatch calibrate`",
        camera,
        f"zone {zone}" if zone else "event peaks",
    )
    events = _event_policy(config, camera, calibration.start_threshold, calibration.end_threshold)
    return CalibratedPolicy(ZonePolicy(events, ALERT_BY_HAND * events.start_threshold, provisional=True, cells=cells), None)


def _warn_of_other_event_policy(config: Config, camera: str, known: NormalPeaks) -> None:
    settings = config.settings(camera)
    closing_s = max(settings.end_delay, settings.cooldown)
    if (known.min_duration_s, known.closing_s) != (settings.min_duration, closing_s):
        log.warning(
            "camera %s: calibrated with min_duration %gs and cooldown %gs, not %gs and %gs: run `streamwatch calibrate`",
            camera, known.min_duration_s, known.closing_s, settings.min_duration, closing_s,
        )  # fmt: skip


def _event_policy(config: Config, camera: str, start: float, end: float) -> EventPolicy:
    settings = config.settings(camera)
    return EventPolicy(
        start,
        end,
        min_duration_s=settings.min_duration,
        end_delay_s=settings.end_delay,
        cooldown_s=settings.cooldown,
        max_duration_s=settings.max_duration,
    )
