"""Thresholds and budgets against the alarms that they would have raised on recordings."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from streamwatch.backtest.replay import Replayed
from streamwatch.errors import UsageError
from streamwatch.evaluation.alarms import AlarmFigures, WatchedClip, figures_of
from streamwatch.events.peaks import Alarm, alarms
from streamwatch.model.calibration.extremes import poisson_mean_quantile
from streamwatch.model.calibration.thresholds import DAY_S, Calibration, thresholds_for
from streamwatch.records import ScoreStream
from streamwatch.scenes.policy import CalibratedPolicy

BUDGETS_PER_DAY = {"10/hour": 240.0, "1/hour": 24.0, "10/day": 10.0, "1/day": 1.0, "1/week": 1 / 7}
Span = tuple[float, float]


@dataclass(frozen=True)
class Row:
    """One setting, and what it would have come to.

    Attributes:
        name: the budget or threshold.
        starts: start threshold of the level by zone.
        field_starts: of a zone's fields, in their own units, where each is judged by its own.
        per_day, interval_per_day: alarms per day and the 95 % interval of a Poisson rate (exact: Garwood 1936).
        figures: against labels; None without them.
    """

    name: str
    starts: Mapping[str, float]
    alarms: int
    alarm_time_s: float
    per_day: float
    interval_per_day: tuple[float, float]
    figures: AlarmFigures | None
    field_starts: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    chosen: bool = False

    @property
    def starts_text(self) -> str:
        """The thresholds, for people."""
        return " ".join(_start_text(zone, start, self.field_starts.get(zone, {})) for zone, start in self.starts.items())


def _start_text(zone: str, start: float, of_fields: Mapping[str, float]) -> str:
    text = " ".join(f"{name} {value:.1f}" for name, value in of_fields.items()) or f"{start:.2f}"
    return f"{zone}:{text}" if zone else text


def poisson_interval(count: int, exposure_s: float) -> tuple[float, float]:
    """Exact 95 % interval of events per day, of which ``count`` were seen (Garwood 1936)."""
    low = poisson_mean_quantile(0.025, count) if count else 0.0
    high = poisson_mean_quantile(0.975, count + 1)
    return low / exposure_s * DAY_S, high / exposure_s * DAY_S


@dataclass(frozen=True)
class Setting:
    """By what a recording is judged once more.

    Attributes:
        starts: start threshold of the level by zone.
        field_starts: where a zone's fields are judged each by its own, their thresholds; the level is then their multiple.
    """

    name: str
    starts: Mapping[str, float]
    field_starts: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def streams(self, replayed: Replayed, zone: str) -> Sequence[ScoreStream]:
        """A zone's levels under it."""
        starts = self.field_starts.get(zone)
        if not starts:
            return replayed.streams[zone]
        parts = zip(*(replayed.field_streams[zone, name] for name in starts), strict=True)
        return [_multiples(of_fields, tuple(starts.values())) for of_fields in parts]


def _multiples(of_fields: Sequence[ScoreStream], starts: Sequence[float]) -> ScoreStream:
    """The highest multiple of its own threshold that a field reaches, moment by moment."""
    highest = np.maximum.reduce([stream.levels / start for stream, start in zip(of_fields, starts, strict=True)])
    return ScoreStream(of_fields[0].at_s, highest)


def table(
    replays: Sequence[Replayed],
    policies: Mapping[str, CalibratedPolicy],
    calibration: Calibration | None,
    thresholds: Sequence[float],
    labels: Mapping[str, Sequence[Span]] | None,
) -> list[Row]:
    """The camera's own setting first, then thresholds that were asked for, then common budgets."""
    own = {zone: calibrated.policy.event_policy.start_threshold for zone, calibrated in policies.items()}
    of_fields = {zone: _field_starts(calibrated) for zone, calibrated in policies.items() if len(calibrated.fields) > 1}
    rows = [replace(_row(Setting("as configured", own, of_fields), replays, policies, labels), chosen=True)]
    settings = [Setting(f"threshold {value:g}", dict.fromkeys(policies, value)) for value in thresholds]
    settings += [s for name, budget in BUDGETS_PER_DAY.items() if (s := _of_budget(name, budget, policies, calibration))]
    return rows + [_row(setting, replays, policies, labels) for setting in settings]


def _field_starts(calibrated: CalibratedPolicy) -> dict[str, float]:
    return {judged.known.field: judged.thresholds.start for judged in calibrated.fields}


def _of_budget(
    name: str, budget: float, policies: Mapping[str, CalibratedPolicy], calibration: Calibration | None
) -> Setting | None:
    """A budget as a setting; None if the footage of a zone says nothing."""
    known = {zone: calibration.peaks_of(zone) if calibration else () for zone in policies}
    if not all(known.values()):
        return None
    starts = {
        zone: {p.field: thresholds_for(p, budget / len(peaks), len(peaks)).start for p in peaks}
        for zone, peaks in known.items()
    }
    if any(len(of_fields) > 1 for of_fields in starts.values()):
        return Setting(name, dict.fromkeys(policies, 1.0), starts)
    return Setting(name, {zone: next(iter(of_fields.values())) for zone, of_fields in starts.items()})


def _row(
    setting: Setting,
    replays: Sequence[Replayed],
    policies: Mapping[str, CalibratedPolicy],
    labels: Mapping[str, Sequence[Span]] | None,
) -> Row:
    raised = [_alarms(replayed, setting, policies) for replayed in replays]
    count, exposure_s = sum(map(len, raised)), max(sum(r.duration_s for r in replays), 1e-9)
    figures = None
    if labels is not None:
        figures = figures_of(
            [WatchedClip(a, labels.get(r.source, ()), r.duration_s) for a, r in zip(raised, replays, strict=True)]
        )
    return Row(
        setting.name,
        setting.starts,
        count,
        sum(alarm.end_s - alarm.start_s for part in raised for alarm in part),
        count / exposure_s * DAY_S,
        poisson_interval(count, exposure_s),
        figures,
        setting.field_starts,
    )


def _alarms(replayed: Replayed, setting: Setting, policies: Mapping[str, CalibratedPolicy]) -> list[Alarm]:
    found: list[Alarm] = []
    for zone in replayed.streams:
        start, rules = setting.starts[zone], policies[zone].policy.event_policy
        ratio = rules.end_threshold / rules.start_threshold
        end = ratio * start if policies[zone].follows_start else min(rules.end_threshold, 0.99 * start)
        at = replace(rules, start_threshold=start, end_threshold=end, max_duration_s=float("inf"))
        found += [alarm for stream in setting.streams(replayed, zone) for alarm in alarms(stream, at)]
    return found


def read_labels(path: Path, sources: Sequence[str]) -> dict[str, list[Span]]:
    """Intervals in which something happened: CSV of ``start_s,end_s`` and, for more than one source, ``source``.

    Raises:
        UsageError: the file is not of this form, or names another source.
    """
    found: dict[str, list[Span]] = {source: [] for source in sources}
    try:
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                source = row.get("source") or (sources[0] if len(sources) == 1 else "")
                if source not in found:
                    raise UsageError(f"labels of {source!r}, which is not backtested", where=path)
                found[source].append(_span(row["start_s"], row["end_s"]))
    except (OSError, KeyError, TypeError, ValueError) as error:
        hint = "it needs the columns start_s,end_s and, for more than one source, source"
        raise UsageError(f"labels cannot be read ({error})", where=path, hint=hint) from error
    return found


def _span(start: str, end: str) -> Span:
    start_s, end_s = float(start), float(end)
    if not 0 <= start_s <= end_s < float("inf"):
        raise ValueError(f"{start} to {end} is no interval")
    return start_s, end_s
