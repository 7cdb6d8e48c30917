"""Thresholds and budgets against the alarms that they would have raised on recordings."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from scipy import stats

from streamwatch.backtest.replay import Replayed
from streamwatch.errors import UsageError
from streamwatch.evaluation.alarms import AlarmFigures, WatchedClip, figures_of
from streamwatch.events.peaks import Alarm, alarms
from streamwatch.model.calibration.thresholds import DAY_S, Calibration, thresholds_for
from streamwatch.scenes.policy import CalibratedPolicy

BUDGETS_PER_DAY = {"10/hour": 240.0, "1/hour": 24.0, "10/day": 10.0, "1/day": 1.0, "1/week": 1 / 7}
Span = tuple[float, float]


@dataclass(frozen=True)
class Row:
    """One setting, and what it would have come to.

    Attributes:
        name: the budget or threshold.
        starts: start threshold by zone.
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
    chosen: bool = False


def poisson_interval(count: int, exposure_s: float) -> tuple[float, float]:
    """Exact 95 % interval of events per day, of which ``count`` were seen (Garwood 1936)."""
    low = float(stats.chi2.ppf(0.025, 2 * count)) / 2 if count else 0.0
    high = float(stats.chi2.ppf(0.975, 2 * (count + 1))) / 2
    return low / exposure_s * DAY_S, high / exposure_s * DAY_S


def table(
    replays: Sequence[Replayed],
    policies: Mapping[str, CalibratedPolicy],
    calibration: Calibration | None,
    thresholds: Sequence[float],
    labels: Mapping[str, Sequence[Span]] | None,
) -> list[Row]:
    """The camera's own setting first, then thresholds that were asked for, then common budgets."""
    own = {zone: calibrated.policy.event_policy.start_threshold for zone, calibrated in policies.items()}
    rows = [replace(_row("as configured", own, replays, policies, labels), chosen=True)]
    rows += [_row(f"threshold {value:g}", dict.fromkeys(policies, value), replays, policies, labels) for value in thresholds]
    for name, budget in BUDGETS_PER_DAY.items() if calibration else ():
        known = {zone: calibration.peaks_of(zone) for zone in policies} if calibration else {}
        if all(known.values()):
            starts = {zone: thresholds_for(peaks, budget).start for zone, peaks in known.items() if peaks}
            rows.append(_row(name, starts, replays, policies, labels))
    return rows


def _row(
    name: str,
    starts: Mapping[str, float],
    replays: Sequence[Replayed],
    policies: Mapping[str, CalibratedPolicy],
    labels: Mapping[str, Sequence[Span]] | None,
) -> Row:
    raised = [_alarms(replayed, starts, policies) for replayed in replays]
    count, exposure_s = sum(map(len, raised)), max(sum(r.duration_s for r in replays), 1e-9)
    figures = None
    if labels is not None:
        figures = figures_of(
            [WatchedClip(a, labels.get(r.source, ()), r.duration_s) for a, r in zip(raised, replays, strict=True)]
        )
    return Row(
        name,
        starts,
        count,
        sum(alarm.end_s - alarm.start_s for part in raised for alarm in part),
        count / exposure_s * DAY_S,
        poisson_interval(count, exposure_s),
        figures,
    )


def _alarms(replayed: Replayed, starts: Mapping[str, float], policies: Mapping[str, CalibratedPolicy]) -> list[Alarm]:
    found: list[Alarm] = []
    for zone, streams in replayed.streams.items():
        rules = policies[zone].policy.event_policy
        end = min(rules.end_threshold, 0.99 * starts[zone])
        at = replace(rules, start_threshold=starts[zone], end_threshold=end, max_duration_s=float("inf"))
        found += [alarm for stream in streams for alarm in alarms(stream, at)]
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
