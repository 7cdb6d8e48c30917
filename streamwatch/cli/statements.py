"""Printing thresholds and what they rest on."""

from __future__ import annotations

import click

from streamwatch.model.calibration.thresholds import Calibration
from streamwatch.scenes.statements import provisional_text, statements, threshold_text


def print_thresholds(calibration: Calibration, budgets_per_day: dict[str, float]) -> None:
    """Print them all, with a warning where the footage is too short."""
    for known, thresholds in statements(calibration, budgets_per_day):
        click.echo(f"   {threshold_text(known, thresholds)}")
        if thresholds.provisional:
            click.echo(f"warning: {provisional_text(known, thresholds)}", err=True)
    for zone in budgets_per_day.keys() - {known.zone for known in calibration.zones}:
        what = f"zone {zone}" if zone else "the picture"
        click.echo(f"warning: the footage is too short to calibrate {what}: its thresholds are a quantile's", err=True)
