"""From a configuration and a model's calibration to what decides about a camera's events, zone by zone."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from streamwatch.config.arming import armed
from streamwatch.config.schema import Config
from streamwatch.errors import ModelMissing
from streamwatch.events.decision import EventPolicy
from streamwatch.events.drift import DriftMonitor
from streamwatch.events.tamper import SCENE_WIDE
from streamwatch.events.tracker import FieldJudge, ZonePolicy
from streamwatch.inference.engine import WatchedScene
from streamwatch.model.calibration.thresholds import (
    END_TO_START,
    Calibration,
    NormalPeaks,
    Thresholds,
    days_between,
    end_threshold_for,
    thresholds_for,
)
from streamwatch.model.normality.gaussian import supported_shrinkage
from streamwatch.model.scene import SceneModel
from streamwatch.model.scoring.levels import FieldUnits
from streamwatch.records import BoolGrid
from streamwatch.scenes.zones import zone_masks

log = logging.getLogger(__name__)

ALERT_BUDGETS = 0.1
"""A peak is an alert if it would also cross the threshold of a tenth of the budget."""
HARDLY_REACHED = 4.0
"""Multiples of a field's threshold that are likely meant in the unit of an older model."""
ALERT_BY_HAND = 1.25
"""With a threshold by hand: an alert is a quarter above it."""


@dataclass(frozen=True)
class JudgedField:
    """One field of one zone: what normal footage showed, and what follows from it.

    Attributes:
        alert: from here on an event is an ``alert``, in the field's own unit.
    """

    known: NormalPeaks
    thresholds: Thresholds
    alert: float

    @property
    def judge(self) -> FieldJudge:
        """What an event says of it."""
        known, start = self.known, self.thresholds.start
        return FieldJudge(known.field, start, known.sustained, known.exposure_s, partial(days_between, known))


@dataclass(frozen=True)
class CalibratedPolicy:
    """A zone's policy, and how sure its thresholds are; no fields if they were given by hand."""

    policy: ZonePolicy
    fields: tuple[JudgedField, ...]

    @property
    def follows_start(self) -> bool:
        """Whether the end threshold follows the start threshold, as it does of a field that is judged by itself."""
        return bool(self.fields) and all(judged.known.field for judged in self.fields)


@dataclass(frozen=True)
class ScenePolicy:
    """One scene, and what decides about its scores.

    Attributes:
        scene: measured in the units of the policy.
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


def scene_policy_for(
    config: Config,
    camera: str,
    scene: WatchedScene,
    snoozed: Callable[[str, float], bool],
    calibration: Calibration | None = None,
) -> ScenePolicy:
    """The policy of one of a camera's scenes; see ``policies_for``."""
    calibration = calibration or scene.model.calibration_
    usual, calm = (calibration.usual_spread, calibration.calm_spread) if calibration else (None, None)
    drift = DriftMonitor(usual, calm) if usual is not None and calm is not None else None
    zones = policies_for(config, camera, scene.model, snoozed, calibration)
    parts = tuple(cells for calibrated in zones.values() if (cells := calibrated.policy.cells) is not None)
    measured = replace(scene, units=units_for(zones, scene.model), zones=parts)
    return ScenePolicy(measured, zones, widest_calm(calm, scene.model), drift)


def widest_calm(calm_spread: float | None, model: SceneModel) -> float | None:
    """What the spread of a scene may be without being another scene's; None if the model does not say what it was.

    What normal footage showed, but no less than what makes SCENE_WIDE times it sqrt(a d), with a the share of its covariance
    that the footage leaves open (``supported_shrinkage``): sqrt(d) from its mean is a sample of a Gaussian of d dimensions
    itself (E[M^2] = d). Of twenty seconds in which hardly anything varied the highest spread was 0.3, and their own next
    minute, coded anew, at 1.8 a change of the whole scene; an hour leaves nothing open.
    """
    if calm_spread is None or not model.sees_appearance or not model.samples_:
        return calm_spread
    dims = model.identity.dims
    return max(calm_spread, math.sqrt(supported_shrinkage(dims, model.samples_) * dims) / SCENE_WIDE)


def units_for(zones: Mapping[str, CalibratedPolicy], model: SceneModel) -> FieldUnits | None:
    """Cell by cell, the thresholds of a model's fields in the cell's zone; None where the model's own units hold.

    So a level of 1 is the threshold, whichever field speaks, and wherever. A zone that was not calibrated keeps the model's.
    """
    own = model.units_
    if own is None or len(model.judged_fields) < 2 or not any(calibrated.fields for calibrated in zones.values()):
        return None
    grids = {field: np.full(model.grid, np.inf, dtype=np.float32) for field in model.judged_fields}
    for calibrated in zones.values():
        cells = np.ones(model.grid, bool) if calibrated.policy.cells is None else calibrated.policy.cells
        starts = {judged.known.field: judged.thresholds.start for judged in calibrated.fields}
        for field, grid in grids.items():
            grid[cells] = starts.get(field, own.of(field))
    return FieldUnits(**grids)


def _never(_camera: str, _wall_s: float) -> bool:
    return False


def policies_for(
    config: Config,
    camera: str,
    model: SceneModel,
    snoozed: Callable[[str, float], bool] = _never,
    calibration: Calibration | None = None,
) -> dict[str, CalibratedPolicy]:
    """The policies of all zones of a camera; ``""`` is the picture outside of its named zones.

    Args:
        snoozed: told a camera and a Unix time, whether its events are switched off.
        calibration: what is known of normal footage; None takes the model's.

    Raises:
        ModelMissing: ``threshold: auto``, and there is no calibration.
    """
    known = calibration or model.calibration_
    masks = zone_masks(config, camera, model.grid)
    found = {zone: _policy_of(config, camera, (zone, cells), model, known) for zone, cells in masks.items()}
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
    config: Config, camera: str, place: tuple[str, BoolGrid | None], model: SceneModel, calibration: Calibration | None
) -> CalibratedPolicy:
    """A zone's; its level is in units of its own thresholds where several fields are judged, each by its own."""
    (zone, cells), threshold = place, config.cameras[camera].threshold
    if threshold != "auto":
        return _by_hand(config, camera, float(threshold), cells, model)
    if calibration is None:
        raise ModelMissing(f"camera {camera}'s model has no thresholds", hint="fit it again, or set `threshold`")
    known = calibration.peaks_of(zone)
    if not known:
        return _by_quantile(config, camera, zone, cells, calibration)
    _warn_of_other_event_policy(config, camera, known[0])
    judged = tuple(_judged(peaks, budget_of(config, camera, zone), len(known)) for peaks in known)
    if len(judged) == 1:
        start, end, alert = judged[0].thresholds.start, judged[0].thresholds.end, judged[0].alert
    else:
        start, end, alert = 1.0, END_TO_START, min(field.alert / field.thresholds.start for field in judged)
    provisional = any(field.thresholds.provisional for field in judged)
    policy = ZonePolicy(_event_policy(config, camera, start, end), alert, provisional, cells, tuple(f.judge for f in judged))
    return CalibratedPolicy(policy, judged)


def _judged(known: NormalPeaks, budget_per_day: float, fields: int) -> JudgedField:
    """A field by its part of the zone's budget; an alert is what a tenth of it would let through, or a quarter more where
    the footage does not tell the two apart.
    """
    share = budget_per_day / fields
    thresholds, stricter = thresholds_for(known, share, fields), thresholds_for(known, ALERT_BUDGETS * share, fields)
    alert = stricter.start if not known.field else max(stricter.start, ALERT_BY_HAND * thresholds.start)
    return JudgedField(known, thresholds, alert)


def _by_hand(config: Config, camera: str, start: float, cells: BoolGrid | None, model: SceneModel) -> CalibratedPolicy:
    """A threshold that was given. Of several fields it is a multiple of what the model's own footage asks for."""
    several = len(model.judged_fields) > 1
    if several and start > HARDLY_REACHED:
        log.warning(
            "camera %s: `threshold: %g` is how many times what its footage asks for (1 is as auto): hardly anything reaches it",
            camera, start,
        )  # fmt: skip
    end = END_TO_START * start if several else end_threshold_for(start, model.calibration_)
    return CalibratedPolicy(ZonePolicy(_event_policy(config, camera, start, end), ALERT_BY_HAND * start, cells=cells), ())


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
    return CalibratedPolicy(ZonePolicy(events, ALERT_BY_HAND * events.start_threshold, provisional=True, cells=cells), ())


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
