"""How thresholds, and what they rest on, are said to people and to programs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import click

from streamwatch.model.calibration.thresholds import (
    BUDGETS_TO_SUPPORT,
    DAY_S,
    Calibration,
    NormalPeaks,
    Thresholds,
    thresholds_for,
)


def duration_text(seconds: float) -> str:
    """Seconds as people say them: 45 s, 12 min, 3.5 h, 2.1 days."""
    for size_s, unit in ((DAY_S, "days"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size_s:
            return f"{seconds / size_s:.1f} {unit}"
    return f"{seconds:.0f} s"


def rate_text(per_day: float) -> str:
    """A rate in the unit in which its number is easy: 3.2/hour, 0.5/day, 0.7/week."""
    if per_day >= 24:
        return f"{per_day / 24:.3g}/hour"
    return f"{per_day:.2g}/day" if per_day >= 0.3 or per_day == 0 else f"{7 * per_day:.2g}/week"


def threshold_text(known: NormalPeaks, thresholds: Thresholds) -> str:
    """One sentence that says what the threshold is and how sure it is."""
    low, high = thresholds.interval_per_day
    where = f"zone {known.zone}: " if known.zone else ""
    return (
        f"{where}threshold {thresholds.start:.2f} for {rate_text(thresholds.budget_per_day)} ({thresholds.method}; expected "
        f"{rate_text(thresholds.expected_per_day)}, 95 % interval {rate_text(low)} to {rate_text(high)}), from "
        f"{len(known.peaks)} event peaks in {duration_text(known.exposure_s)} of normal footage"
    )


def provisional_text(known: NormalPeaks, thresholds: Thresholds) -> str:
    """What is missing for the budget."""
    needed = duration_text(BUDGETS_TO_SUPPORT / thresholds.budget_per_day * DAY_S)
    return (
        f"{duration_text(known.exposure_s)} of normal footage shows by counting only that there are fewer than "
        f"{rate_text(thresholds.bound_per_day)}: the threshold is extrapolated and events are provisional until "
        f"`streamwatch calibrate` has seen {needed}"
    )


def statements(calibration: Calibration, budgets_per_day: dict[str, float]) -> Iterator[tuple[NormalPeaks, Thresholds]]:
    """Every zone that the calibration knows and that has a budget."""
    for known in calibration.zones:
        if known.zone in budgets_per_day:
            yield known, thresholds_for(known, budgets_per_day[known.zone])


def print_thresholds(calibration: Calibration, budgets_per_day: dict[str, float]) -> None:
    """Print them all, with a warning where the footage is too short."""
    for known, thresholds in statements(calibration, budgets_per_day):
        click.echo(f"   {threshold_text(known, thresholds)}")
        if thresholds.provisional:
            click.echo(f"warning: {provisional_text(known, thresholds)}", err=True)
    for zone in budgets_per_day.keys() - {known.zone for known in calibration.zones}:
        what = f"zone {zone}" if zone else "the picture"
        click.echo(f"warning: the footage is too short to calibrate {what}: its thresholds are a quantile's", err=True)


def thresholds_document(known: NormalPeaks, thresholds: Thresholds) -> dict[str, Any]:
    """The same for programs."""
    return {
        "zone": known.zone or None,
        "peaks": len(known.peaks),
        "footage_s": round(known.exposure_s, 1),
        **{key: list(value) if isinstance(value, tuple) else value for key, value in asdict(thresholds).items()},
    }
