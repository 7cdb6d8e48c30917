"""From levels of normal footage to a model's calibration: where the scene model meets the event state machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from streamwatch.events.peaks import event_peaks
from streamwatch.model.calibration.extremes import MIN_PEAKS
from streamwatch.model.calibration.normal_levels import NormalLevels
from streamwatch.model.calibration.prequential import GAP_S, PrequentialScorer
from streamwatch.model.calibration.thresholds import (
    END_QUANTILE,
    MAX_PEAKS_KEPT,
    Calibration,
    NormalPeaks,
    calibrate,
    end_threshold_of,
)
from streamwatch.model.scene import SceneModel
from streamwatch.records import Float32Array, Float64Array, ScoreStream
from streamwatch.scenes.calibration_policy import CalibrationPolicy

LOWER_QUANTILES = (0.97, 0.95, 0.9)
"""Where events are cut when they are too few above 99 % of the frames."""


def calibrated_prequentially(
    model: SceneModel, prequential: PrequentialScorer, policy: CalibrationPolicy
) -> Calibration | None:
    """The calibration that a fit's prequential scoring gives; what the model had, if the footage was too short for one."""
    streams = {zone: prequential.stretches(zone, model.fusion_, model.frames) for zone in policy.zones}
    return calibration_of(streams, policy, prequential.lows(model.frames)) or model.calibration_


def recalibrated(
    calibration: Calibration, levels: NormalLevels | None, suppression: Float32Array | None, policy: CalibrationPolicy
) -> Calibration:
    """The calibration derived anew from the levels that it came from, under what people allowed since.

    As it was where those levels are not known, or not of these zones: a suppression map only lowers levels, so that its
    thresholds are then too high rather than too low.
    """
    if levels is None or not set(policy.zones) <= set(levels.zones):
        return calibration
    found = calibration_of({zone: levels.streams(zone, suppression, GAP_S) for zone in policy.zones}, policy)
    if found is None:
        return calibration
    return replace(found, calm_spread=calibration.calm_spread, usual_spread=calibration.usual_spread)


def calibration_of(
    streams: Mapping[str, Sequence[ScoreStream]], policy: CalibrationPolicy, lows: Sequence[float] = ()
) -> Calibration | None:
    """The calibration that streams of normal levels give, zone by zone; None if there are none.

    A zone without cells has no levels and is left out.
    """
    zones = tuple(zone for name, parts in streams.items() if parts and (zone := _zone_peaks(name, parts, policy)) is not None)
    widest = max(streams.values(), key=lambda parts: sum(len(part.levels) for part in parts), default=())
    if not zones or not widest:
        return None
    return calibrate(np.concatenate([part.levels for part in widest]).tolist(), zones, lows)


def _zone_peaks(name: str, parts: Sequence[ScoreStream], policy: CalibrationPolicy) -> NormalPeaks | None:
    levels = np.concatenate([part.levels for part in parts])
    exposure_s = sum(part.exposure_s for part in parts)
    if not levels.any() or not exposure_s:
        return None
    end = end_threshold_of(levels.tolist())
    peaks = _enough_peaks(parts, levels, policy)
    return NormalPeaks(
        zone=name,
        end_threshold=end,
        highest=max(float(levels.max()), end),
        exposure_s=exposure_s,
        peaks=tuple(peaks[:MAX_PEAKS_KEPT]),
        min_duration_s=policy.min_duration_s,
        closing_s=policy.event_policy(end).closing_s,
    )


def _enough_peaks(parts: Sequence[ScoreStream], levels: Float64Array, policy: CalibrationPolicy) -> list[float]:
    """Event peaks, descending; of events cut at ever lower levels, while there are too few to tell a tail from.

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
