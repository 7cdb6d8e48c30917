"""How thresholds, and what they rest on, are said to people and to programs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from streamwatch.documents import duration_text
from streamwatch.model.calibration.thresholds import (
    Calibration,
    NormalPeaks,
    Thresholds,
    thresholds_for,
)


def rate_text(per_day: float) -> str:
    """A rate in the unit in which its number is easy: 3.2/hour, 0.5/day, 0.7/week."""
    if per_day >= 24:
        return f"{per_day / 24:.3g}/hour"
    return f"{per_day:.2g}/day" if per_day >= 0.3 or per_day == 0 else f"{7 * per_day:.2g}/week"


UNITS = {"motion": " px/s"}
"""What a field's values are in, for people; a distance has none."""


def place_text(known: NormalPeaks) -> str:
    """Of which zone and field something is said."""
    zone = f"zone {known.zone}: " if known.zone else ""
    return f"{zone}{known.field}: " if known.field else zone


def threshold_text(known: NormalPeaks, thresholds: Thresholds) -> str:
    """One sentence that says what the threshold is and how sure it is."""
    low, high = thresholds.interval_per_day
    unit = UNITS.get(known.field, "")
    held = f"; normal footage held at most {known.sustained:.1f}{unit}" if known.field else ""
    return (
        f"{place_text(known)}threshold {thresholds.start:.2f}{unit} for {rate_text(thresholds.budget_per_day)} "
        f"({thresholds.method}; expected {rate_text(thresholds.expected_per_day)}, 95 % interval {rate_text(low)} to "
        f"{rate_text(high)}), from {len(known.peaks)} event peaks in {duration_text(known.exposure_s)} of normal footage{held}"
    )


def provisional_text(known: NormalPeaks, thresholds: Thresholds) -> str:
    """What is missing for the budget."""
    needed = duration_text(thresholds.needed_s)
    return (
        f"{place_text(known)}{duration_text(known.exposure_s)} of normal footage shows by counting only that there are fewer "
        f"than {rate_text(thresholds.bound_per_day)}: the threshold is {'what it supports' if known.field else 'extrapolated'} "
        f"and events are provisional until {needed} were seen, by `streamwatch run` or `streamwatch calibrate`"
    )


def statements(calibration: Calibration, budgets_per_day: dict[str, float]) -> Iterator[tuple[NormalPeaks, Thresholds]]:
    """Every field of every zone that the calibration knows and that has a budget, by its share of that."""
    for known in calibration.zones:
        if known.zone in budgets_per_day:
            fields = len(calibration.peaks_of(known.zone))
            yield known, thresholds_for(known, budgets_per_day[known.zone] / fields, fields)


def thresholds_document(known: NormalPeaks, thresholds: Thresholds) -> dict[str, Any]:
    """The same for programs."""
    return {
        "zone": known.zone or None,
        "field": known.field or None,
        "highest_held": round(known.sustained, 4) if known.field else None,
        "peaks": len(known.peaks),
        "footage_s": round(known.exposure_s, 1),
        **{key: list(value) if isinstance(value, tuple) else value for key, value in asdict(thresholds).items()},
    }
