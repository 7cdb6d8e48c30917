"""From scored normal footage to a model's calibration: where the scene model meets the event state machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace

import numpy as np

from streamwatch.clock import Clock
from streamwatch.config.models import Config
from streamwatch.errors import NotEnoughFrames
from streamwatch.events.decision import Rules
from streamwatch.events.peaks import event_peaks
from streamwatch.events.region import polygon_mask
from streamwatch.model.calibration import (
    END_QUANTILE,
    MOST_PEAKS_KEPT,
    Calibration,
    NormalPeaks,
    calibrate,
    end_threshold_of,
)
from streamwatch.model.extremes import FEWEST_PEAKS
from streamwatch.model.normal_levels import LevelsNoted, NormalLevels
from streamwatch.model.regime import RegimeSorter
from streamwatch.model.rehearsal import GAP_S, Rehearsal
from streamwatch.model.scene import SceneModel
from streamwatch.records import BoolGrid, Float32Array, Float64Array, FrameScore, ScoreStream
from streamwatch.runtime.engine import Engine
from streamwatch.runtime.footage import Footage, readers_of, timeline
from streamwatch.runtime.offline import score_frames
from streamwatch.video.opener import Opener

LOWER_QUANTILES = (0.97, 0.95, 0.9)
"""Where events are cut when they are too few above 99 % of the frames."""


@dataclass(frozen=True)
class AlarmTerms:
    """By what an event is judged when normal footage is calibrated on.

    Attributes:
        zones: (h, w) True where a zone's cells are; None for the whole picture.
    """

    min_duration_s: float = 1.0
    end_delay_s: float = 2.0
    cooldown_s: float = 30.0
    zones: Mapping[str, BoolGrid | None] = field(default_factory=lambda: {"": None})

    def rules(self, end_threshold: float) -> Rules:
        """Decision rules with this end threshold; the start threshold plays no role in what they are for."""
        durations = (self.min_duration_s, self.end_delay_s, self.cooldown_s)
        return Rules(end_threshold / 0.95, end_threshold, *durations)


def terms_of(config: Config, camera: str, grid: tuple[int, int]) -> AlarmTerms:
    """A camera's terms."""
    settings = config.settings(camera)
    return AlarmTerms(settings.min_duration, settings.end_delay, settings.cooldown, zone_masks(config, camera, grid))


def zone_masks(config: Config, camera: str, grid: tuple[int, int]) -> dict[str, BoolGrid | None]:
    """The cells of every zone; a cell is the first zone's that covers it, and what no zone covers is zone ``""``.

    Cells that are ignored belong to none. A single zone of all cells is None: nothing is to be picked.
    """
    settings = config.cameras[camera]
    free = np.ones(grid, dtype=bool)
    if settings.ignore:
        free &= ~polygon_mask([list(p) for p in settings.ignore], grid)
    masks: dict[str, BoolGrid | None] = {}
    for name, zone in settings.zones.items():
        inside = polygon_mask([list(zone.polygon)], grid) & free
        masks[name] = inside
        free &= ~inside
    return {"": None if free.all() else free, **masks}


def calibrated_in_rehearsal(model: SceneModel, rehearsal: Rehearsal, terms: AlarmTerms) -> Calibration | None:
    """The calibration that a fit's rehearsal gives; what the model had, if the footage was too short for one."""
    streams = {zone: rehearsal.stretches(zone, model.fusion_, model.frames) for zone in terms.zones}
    return calibration_of(streams, terms, rehearsal.lows(model.frames)) or model.calibration_


def recalibrated(
    calibration: Calibration, levels: NormalLevels | None, allowance: Float32Array | None, terms: AlarmTerms
) -> Calibration:
    """The calibration derived anew from the levels that it came from, under what people allowed since.

    As it was where those levels are not known, or not of these zones: an allowance only lowers levels, so that its
    thresholds are then too high rather than too low.
    """
    if levels is None or not set(terms.zones) <= set(levels.zones):
        return calibration
    found = calibration_of({zone: levels.streams(zone, allowance, GAP_S) for zone in terms.zones}, terms)
    if found is None:
        return calibration
    return replace(found, calm_spread=calibration.calm_spread, usual_spread=calibration.usual_spread)


def calibration_of(
    streams: Mapping[str, Sequence[ScoreStream]], terms: AlarmTerms, lows: Sequence[float] = ()
) -> Calibration | None:
    """The calibration that streams of normal levels give, zone by zone; None if there are none.

    A zone without cells has no levels and is left out.
    """
    zones = tuple(zone for name, parts in streams.items() if parts and (zone := _zone_peaks(name, parts, terms)) is not None)
    widest = max(streams.values(), key=lambda parts: sum(len(part.levels) for part in parts), default=())
    if not zones or not widest:
        return None
    return calibrate(np.concatenate([part.levels for part in widest]).tolist(), zones, lows)


def _zone_peaks(name: str, parts: Sequence[ScoreStream], terms: AlarmTerms) -> NormalPeaks | None:
    levels = np.concatenate([part.levels for part in parts])
    exposure_s = sum(part.exposure_s for part in parts)
    if not levels.any() or not exposure_s:
        return None
    end = end_threshold_of(levels.tolist())
    peaks = _enough_peaks(parts, levels, terms)
    return NormalPeaks(
        zone=name,
        end_threshold=end,
        highest=max(float(levels.max()), end),
        exposure_s=exposure_s,
        peaks=tuple(peaks[:MOST_PEAKS_KEPT]),
        min_duration_s=terms.min_duration_s,
        closing_s=terms.rules(end).closing_s,
    )


def _enough_peaks(parts: Sequence[ScoreStream], levels: Float64Array, terms: AlarmTerms) -> list[float]:
    """Event peaks, descending; of events cut at ever lower levels, while there are too few to tell a tail from.

    What lasts over the end threshold also lasts over a lower one, so that lower cuts give no fewer peaks at any height:
    the rate that follows is, if anything, too high.
    """
    peaks: list[float] = []
    for quantile in (END_QUANTILE, *LOWER_QUANTILES):
        rules = terms.rules(max(float(np.quantile(levels, quantile)), 1e-6))
        peaks = sorted((peak for part in parts for peak in event_peaks(part, rules)), reverse=True)
        if len(peaks) > FEWEST_PEAKS:
            break
    return peaks


class LevelRecorder:
    """Collects the levels of scored frames, zone by zone, stretch by stretch."""

    def __init__(self, zones: Mapping[str, BoolGrid | None]) -> None:
        self._zones = zones
        self._at_s: list[list[float]] = []
        self._levels: dict[str, list[list[float]]] = {zone: [] for zone in zones}
        self._segment: int | None = None
        self.lows: list[float] = []

    def add(self, scored: FrameScore) -> None:
        """Note a frame; a new segment begins a new stretch, and so does a gap."""
        frame = scored.frame
        if frame.segment != self._segment or frame.time_s - self._at_s[-1][-1] > GAP_S:
            self.cut()
        if self._segment is None:
            self._at_s.append([])
            for levels in self._levels.values():
                levels.append([])
        self._segment = frame.segment
        self._at_s[-1].append(frame.time_s)
        self.lows.append(scored.spread.low)
        for zone, mask in self._zones.items():
            self._levels[zone][-1].append(scored.level_in(mask))

    def cut(self) -> None:
        """Begin a new stretch with the next frame."""
        self._segment = None

    def streams(self) -> dict[str, list[ScoreStream]]:
        """Everything noted."""
        times = [np.array(part) for part in self._at_s]
        return {
            zone: [ScoreStream(at_s, np.array(part)) for at_s, part in zip(times, parts, strict=True)]
            for zone, parts in self._levels.items()
        }


def calibrate_on(
    footage: Footage,
    camera: str,
    engine: Engine,
    terms: AlarmTerms,
    *,
    opener: Opener,
    clock: Clock,
    sorter: RegimeSorter | None = None,
    on_frames: Callable[[int], None] | None = None,
) -> tuple[Calibration, NormalLevels | None]:
    """Score normal footage with the scene that ``engine`` watches as ``camera``, and calibrate on it.

    Args:
        sorter: take only the frames that it takes; None takes all.

    Returns:
        The calibration, and the levels before any allowance that it can be derived anew from.

    Raises:
        SourceError: a source cannot be read; NotEnoughFrames: it holds no frame.
    """
    recorder, noted = LevelRecorder(terms.zones), LevelsNoted(terms.zones)
    allowance = engine.allowance_of(camera)
    frames = timeline(footage, readers_of(footage, camera, opener, clock))
    taken = frames if sorter is None else (f for f in frames if sorter.takes(f.pixels, f.time_s))
    with closing(frames), closing(score_frames(engine, taken)) as scores:
        for scored in scores:
            recorder.add(scored)
            noted.add(scored.frame.time_s, scored.level_grid if allowance is None else scored.level_grid * allowance)
            if on_frames:
                on_frames(1)
    calibration = calibration_of(recorder.streams(), terms, recorder.lows)
    if calibration is None:
        raise NotEnoughFrames("the footage is too short to calibrate on")
    return calibration, noted.found()
