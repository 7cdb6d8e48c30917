"""From a configuration and a model's calibration to what a camera's events are judged by, zone by zone."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from streamwatch.config.models import Config
from streamwatch.config.schedule import armed
from streamwatch.errors import ModelMissing
from streamwatch.events.decision import Rules
from streamwatch.events.tracker import Judgement
from streamwatch.metrics import Metrics
from streamwatch.model.calibration import Calibration, NormalPeaks, Thresholds, end_threshold_for, thresholds_for
from streamwatch.model.scene import SceneModel
from streamwatch.records import BoolGrid
from streamwatch.runtime.calibrating import zone_masks

log = logging.getLogger(__name__)

ALERT_BUDGETS = 0.1
"""A peak is an alert if it would also cross the threshold of a tenth of the budget."""
ALERT_BY_HAND = 1.25
"""With a threshold by hand: an alert is a quarter above it."""


@dataclass(frozen=True)
class ZoneJudgement:
    """How one zone is judged, and how sure its thresholds are; ``thresholds`` is None if they were given by hand."""

    judgement: Judgement
    thresholds: Thresholds | None


def _never(_camera: str, _wall_s: float) -> bool:
    return False


class CalibrationBoard:
    """Shows what each camera may raise, what its footage rules out, and whether that is enough."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._calibrating: set[str] = set()

    def show(self, camera: str, judged: Mapping[str, ZoneJudgement]) -> None:
        """Expose a camera's budget and bound, and remember whether it is still calibrating."""
        (self._calibrating.add if any(j.judgement.provisional for j in judged.values()) else self._calibrating.discard)(camera)
        known = [j.thresholds for j in judged.values() if j.thresholds]
        if known:
            self._metrics.alarm_budget.labels(camera).set(sum(t.budget_per_day for t in known))
            self._metrics.alarms_bound.labels(camera).set(sum(t.bound_per_day for t in known))

    def unlearned(self, camera: str) -> None:
        """The camera shows what none of its models learned."""
        self._calibrating.add(camera)

    def state_of(self, camera: str) -> str:
        """The state of a camera that delivers frames."""
        return "calibrating" if camera in self._calibrating else "running"


def judgements_for(
    config: Config, camera: str, model: SceneModel, snoozed: Callable[[str, float], bool] = _never
) -> dict[str, ZoneJudgement]:
    """The judgements of all zones of a camera; ``""`` is the picture outside of its named zones.

    Args:
        snoozed: told a camera and a Unix time, whether its events are switched off.

    Raises:
        ModelMissing: ``threshold: auto``, and the model has no calibration.
    """
    masks = zone_masks(config, camera, model.grid)
    judged = {zone: _judge(config, camera, zone, cells, model.calibration_) for zone, cells in masks.items()}
    return {zone: _with_hours(j, config, camera, zone, snoozed) for zone, j in judged.items()}


def _with_hours(
    judged: ZoneJudgement, config: Config, camera: str, zone: str, snoozed: Callable[[str, float], bool]
) -> ZoneJudgement:
    """Armed by its own schedule, or its camera's, while the camera is not snoozed."""
    own = config.cameras[camera].zones[zone].schedule if zone else ()
    windows = own or config.cameras[camera].schedule

    def is_armed(wall_s: float) -> bool:
        return armed(windows, wall_s) and not snoozed(camera, wall_s)

    return replace(judged, judgement=replace(judged.judgement, armed=is_armed))


def _judge(config: Config, camera: str, zone: str, cells: BoolGrid | None, calibration: Calibration | None) -> ZoneJudgement:
    threshold = config.cameras[camera].threshold
    if threshold != "auto":
        start = float(threshold)
        rules = _rules(config, camera, start, end_threshold_for(start, calibration))
        return ZoneJudgement(Judgement(rules, ALERT_BY_HAND * start, provisional=False, cells=cells), None)
    if calibration is None:
        raise ModelMissing(f"camera {camera}'s model has no thresholds", hint="fit it again, or set `threshold`")
    known = calibration.peaks_of(zone)
    if known is None:
        return _by_quantile(config, camera, zone, cells, calibration)
    _warn_of_other_rules(config, camera, known)
    budget = budget_of(config, camera, zone)
    thresholds, stricter = thresholds_for(known, budget), thresholds_for(known, ALERT_BUDGETS * budget)
    rules = _rules(config, camera, thresholds.start, thresholds.end)
    return ZoneJudgement(Judgement(rules, stricter.start, thresholds.provisional, cells), thresholds)


def budget_of(config: Config, camera: str, zone: str) -> float:
    """False alarms per day that a zone may raise: its own budget, or its camera's."""
    own = config.cameras[camera].zones[zone].alarm_budget if zone else None
    return config.settings(camera).alarm_budget if own is None else own


def budgets_of(config: Config, camera: str) -> dict[str, float]:
    """The budget of every zone of a camera, false alarms per day."""
    return {zone: budget_of(config, camera, zone) for zone in ("", *config.cameras[camera].zones)}


def _by_quantile(config: Config, camera: str, zone: str, cells: BoolGrid | None, calibration: Calibration) -> ZoneJudgement:
    """Thresholds of a model whose calibration says nothing of this zone."""
    log.warning(
        "camera %s: its model was calibrated without %s: run `streamwatch calibrate`",
        camera,
        f"zone {zone}" if zone else "event peaks",
    )
    rules = _rules(config, camera, calibration.start_threshold, calibration.end_threshold)
    return ZoneJudgement(Judgement(rules, ALERT_BY_HAND * rules.start_threshold, provisional=True, cells=cells), None)


def _warn_of_other_rules(config: Config, camera: str, known: NormalPeaks) -> None:
    settings = config.settings(camera)
    closing_s = max(settings.end_delay, settings.cooldown)
    if (known.min_duration_s, known.closing_s) != (settings.min_duration, closing_s):
        log.warning(
            "camera %s: calibrated with min_duration %gs and cooldown %gs, not %gs and %gs: run `streamwatch calibrate`",
            camera, known.min_duration_s, known.closing_s, settings.min_duration, closing_s,
        )  # fmt: skip


def _rules(config: Config, camera: str, start: float, end: float) -> Rules:
    settings = config.settings(camera)
    return Rules(
        start,
        end,
        min_duration_s=settings.min_duration,
        end_delay_s=settings.end_delay,
        cooldown_s=settings.cooldown,
        max_duration_s=settings.max_duration,
    )
