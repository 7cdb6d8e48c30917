"""Alarms beside their budget: those that were raised, and those that other budgets would have raised."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from streamwatch.model.calibration.thresholds import DAY_S, thresholds_for
from streamwatch.records import LivePeaks
from streamwatch.scenes.policy import CalibratedPolicy
from streamwatch.store.event_store import count_by_label
from streamwatch.store.live_peaks import load_records
from streamwatch.web.api.documents.cameras import BudgetChoice, BudgetsDocument
from streamwatch.web.context import SiteContext

BUDGETS_PER_DAY = (1 / 30, 1 / 14, 1 / 7, 2 / 7, 0.5, 1.0, 2.0, 4.0, 8.0, 24.0)
"""Of each day the 30 highest events are kept (``model.calibration.live_footage``): more could not be counted."""
LEAST_DAYS = 1 / 24
"""Of less, a rate says nothing: one alarm in a minute would be 1,440 a day."""
FieldOfZone = tuple[str, str]


@dataclass(frozen=True)
class _Held:
    """What a camera held, and by what alarms are counted.

    Attributes:
        closing_s: seconds within which two crossings of a zone are one event.
    """

    zones: Mapping[str, CalibratedPolicy]
    peaks: Sequence[LivePeaks]
    since_s: float
    days: float
    closing_s: float


def budget_choices(site: SiteContext, camera: str, days: int) -> BudgetsDocument:
    """Of the last days.

    Raises:
        Problem: nothing is watched here; StoreError: the database refuses.
    """
    zones = site.require_live().cameras.zones_of(camera)
    settings, since_s = site.config().settings(camera), site.clock.wall_s() - days * DAY_S
    peaks = [of for record in load_records(site.stores.database, [camera]).values() for of in record.watched]
    watched_days = max((watched_s(of, since_s) for of in peaks), default=0.0) / DAY_S
    held = _Held(zones, peaks, since_s, watched_days, max(settings.cooldown, settings.end_delay))
    known = any(calibrated.fields for calibrated in zones.values())
    labels = count_by_label(site.stores.database, camera, since_s)
    raised = sum(labels.values())
    return BudgetsDocument(
        camera=camera,
        watched_days=round(watched_days, 3),
        budget_per_day=settings.alarm_budget,
        raised=raised,
        raised_per_day=round(raised / watched_days, 2) if watched_days >= LEAST_DAYS else None,
        called_normal=labels.get("normal", 0),
        choices=[_choice(budget, held) for budget in sorted({*BUDGETS_PER_DAY, settings.alarm_budget})] if known else [],
    )


def watched_s(peaks: LivePeaks, since_s: float) -> float:
    """Seconds that were watched since a Unix time; its day counts by the share that is in it."""
    first_day = since_s / DAY_S
    return sum(seconds * min(max(day + 1 - first_day, 0.0), 1.0) for day, seconds in peaks.exposure)


def alarms_at(peaks: Iterable[LivePeaks], thresholds: Mapping[FieldOfZone, float], since_s: float, closing_s: float) -> int:
    """How many events these thresholds, by zone and field, would have opened since then.

    Args:
        closing_s: seconds within which two crossings of a zone are one event.
    """
    count = 0
    for zone in {zone for zone, _ in thresholds}:
        times = sorted(
            at_s
            for of in peaks
            if of.zone == zone
            for value, at_s in of.events
            if at_s >= since_s and value >= thresholds.get((zone, of.field), float("inf"))
        )
        count += sum(1 for before, at_s in zip([float("-inf"), *times], times, strict=False) if at_s - before > closing_s)
    return count


def _choice(budget: float, held: _Held) -> BudgetChoice:
    derived = {
        (zone, judged.known.field): thresholds_for(judged.known, budget / len(calibrated.fields), len(calibrated.fields))
        for zone, calibrated in held.zones.items()
        for judged in calibrated.fields
    }
    alarms = alarms_at(held.peaks, {key: of.start for key, of in derived.items()}, held.since_s, held.closing_s)
    return BudgetChoice(
        budget_per_day=budget,
        alarms=alarms,
        alarms_per_day=round(alarms / held.days, 2) if held.days else 0.0,
        thresholds={field: round(of.start, 3) for (zone, field), of in derived.items() if not zone},
        provisional=any(of.provisional for of in derived.values()),
    )
