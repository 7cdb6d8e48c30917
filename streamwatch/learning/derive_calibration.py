"""From values of normal footage to a model's calibration: where the scene model meets the event state machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from streamwatch.events.held_peaks import HoldRules, held_levels, held_peaks
from streamwatch.events.peaks import event_peaks
from streamwatch.model.calibration.extremes import MIN_PEAKS
from streamwatch.model.calibration.normal_levels import NormalLevels
from streamwatch.model.calibration.prequential import GAP_S, PrequentialScorer, untold_gap_s
from streamwatch.model.calibration.thresholds import (
    END_QUANTILE,
    END_TO_START,
    MAX_PEAKS_KEPT,
    Calibration,
    NormalPeaks,
    calibrate,
    end_threshold_of,
    thresholds_for,
)
from streamwatch.model.scene import SceneModel
from streamwatch.model.scoring.levels import APPEARANCE, MOTION, FieldUnits
from streamwatch.model.scoring.motion_field import READING_ERROR_PX_S, STILL_PX_S, MotionField
from streamwatch.records import Float64Array, ScoreStream
from streamwatch.scenes.calibration_policy import CalibrationPolicy

LOWER_QUANTILES = (0.97, 0.95, 0.9)
"""Where events of a level are cut when they are too few above 99 % of the frames."""
USUAL_BUDGET_PER_DAY = 1.0
"""The default ``alarm_budget``: what a level is measured by where nobody says otherwise."""
FieldStreams = Mapping[tuple[str, str], Sequence[ScoreStream]]
"""Values of normal footage by (zone, field); the field is empty for a model whose fields are judged together."""


def calibrate_prequentially(model: SceneModel, prequential: PrequentialScorer, policy: CalibrationPolicy) -> None:
    """Give a model the calibration that its fit's prequential scoring gives; if that is too short, what it had stays."""
    streams: dict[tuple[str, str], Sequence[ScoreStream]] = {}
    levels: dict[str, NormalLevels | None] = {}
    if model.sees_appearance:
        streams |= {(zone, APPEARANCE): prequential.appearance_streams(zone, model.frames) for zone in policy.zones}
        levels[APPEARANCE] = prequential.normal_appearance(model.frames)
    if isinstance(model.motion_, MotionField):
        size = model.motion_.size_cells
        streams |= {(zone, MOTION): prequential.motion_streams(zone, size) for zone in policy.zones}
        levels[MOTION] = prequential.normal_motion(size)
    if model.sees_appearance and not any(streams[zone, APPEARANCE] for zone in policy.zones):
        return
    lows = prequential.lows(model.frames)
    take_calibration(model, calibration_of(streams, policy, dims=model.identity.dims, lows=lows))
    model.levels_ = {field: known for field, known in levels.items() if known is not None} or None


def take_calibration(model: SceneModel, calibration: Calibration | None) -> None:
    """Have a model decide by a calibration, and measure its level by it; None leaves it as it is."""
    if calibration is None:
        return
    model.calibration_ = calibration
    if model.units_ is not None:
        model.units_ = units_of(calibration)


def units_of(calibration: Calibration) -> FieldUnits:
    """What fields are measured in where no configuration says by how much: thresholds of the usual budget.

    A model of one field keeps its own: its level is the distance or speed itself.
    """
    known = {peaks.field: peaks for peaks in reversed(calibration.zones)}  # of zones, the first
    if len(known) < 2:
        return FieldUnits()
    budget = USUAL_BUDGET_PER_DAY / len(known)
    return FieldUnits(*(thresholds_for(known[field], budget, len(known)).start for field in (APPEARANCE, MOTION)))


def recalibrated(model: SceneModel, policy: CalibrationPolicy) -> Calibration | None:
    """A model's calibration derived anew from what it came from, under what people allowed since.

    As it was where that is not known, or not of these zones: a suppression map only lowers values, so that its thresholds are
    then too high rather than too low.
    """
    levels, known = model.levels_, model.calibration_
    if known is None or not levels or not all(set(policy.zones) <= set(of_field.zones) for of_field in levels.values()):
        return known
    streams = {
        (zone, field): of_field.streams(zone, model.suppression_, untold_gap_s(of_field.at_s) if field else GAP_S)
        for field, of_field in levels.items()
        for zone in policy.zones
    }
    found = calibration_of(streams, policy, dims=model.identity.dims)
    return known if found is None else replace(found, calm_spread=known.calm_spread, usual_spread=known.usual_spread)


def calibration_of(
    streams: FieldStreams, policy: CalibrationPolicy, *, dims: int, lows: Sequence[float] = ()
) -> Calibration | None:
    """The calibration that streams of normal values give, zone by zone and field by field; None if there are none.

    A zone without cells has no values and is left out.

    Args:
        dims: of the embedding, which says what appearance reads where nothing is.
        lows: of the spread of normal frames.
    """
    found = [_peaks(zone, field, parts, policy, dims) for (zone, field), parts in streams.items() if parts]
    zones = tuple(peaks for peaks in found if peaks is not None)
    widest = max(streams.values(), key=lambda parts: sum(len(part.levels) for part in parts), default=())
    if not zones or not widest:
        return None
    levels = np.concatenate([part.levels for part in widest])
    calibration = calibrate(levels.tolist(), zones, lows)
    if not zones[0].field:
        return calibration
    start = 1.0 if len({peaks.field for peaks in zones}) > 1 else thresholds_for(zones[0], USUAL_BUDGET_PER_DAY).start
    return replace(calibration, start_threshold=start, end_threshold=END_TO_START * start, method="what normal footage held")


def _peaks(zone: str, field: str, parts: Sequence[ScoreStream], policy: CalibrationPolicy, dims: int) -> NormalPeaks | None:
    levels = np.concatenate([part.levels for part in parts])
    exposure_s = sum(part.exposure_s for part in parts)
    if not exposure_s or (field != MOTION and not levels.any()):
        return None
    end = end_threshold_of(levels.tolist())
    together = NormalPeaks(
        zone=zone,
        end_threshold=end,
        highest=max(float(levels.max()), end),
        exposure_s=exposure_s,
        peaks=() if field else tuple(_enough_peaks(parts, levels, policy)[:MAX_PEAKS_KEPT]),
        min_duration_s=policy.min_duration_s,
        closing_s=policy.event_policy(end).closing_s,
    )
    return _of_field(field, parts, together, policy, dims) if field else together


def _of_field(
    field: str, parts: Sequence[ScoreStream], known: NormalPeaks, policy: CalibrationPolicy, dims: int
) -> NormalPeaks:
    """What one field held.

    Appearance reads M^2 = d on average of the very footage that it learned (its mean is the trace of the identity), so that
    M = sqrt(d) is nothing. Where ``min_duration`` is longer than any stretch tells, what was held for a shorter time
    counts, which is more.
    """
    held_s = min(policy.min_duration_s, 0.5 * max(float(np.ptp(part.at_s)) for part in parts))
    rules = HoldRules(END_TO_START, held_s, policy.end_delay_s, known.closing_s)
    floor, error = (STILL_PX_S, READING_ERROR_PX_S) if field == MOTION else (dims**0.5, 0.0)
    return replace(
        known,
        field=field,
        peaks=tuple(held_peaks(parts, rules, at_most=MAX_PEAKS_KEPT)),
        sustained=max(float(held_levels(part, held_s).max()) for part in parts),
        floor=floor,
        error=error,
    )


def _enough_peaks(parts: Sequence[ScoreStream], levels: Float64Array, policy: CalibrationPolicy) -> list[float]:
    """Event peaks of a level, descending; of events cut at ever lower levels, while there are too few to tell a tail from.

    What lasts over the end threshold also lasts over a lower one, so that lower cuts give no fewer peaks at any height:
    the rate that follows is, if anything, too high.
    """
    peaks: list[float] = []
    for quantile in (END_QUANTILE, *LOWER_QUANTILES):
        events = policy.event_policy(max(float(np.quantile(levels, quantile)), 1e-6))
        peaks = sorted((peak for part in parts for peak in event_peaks(part, events)), reverse=True)
        if len(peaks) > MIN_PEAKS:
            break
    return peaks
