"""What a whole score stream comes to: its alarms, by the very state machine, and its event peaks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streamwatch.enums import EndReason
from streamwatch.events.decision import NORMAL, Ended, EventPolicy, Sample, force_end, step
from streamwatch.records import ScoreStream

Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Alarm:
    """One event of a stream: its span, the moment it opened, and its peak."""

    start_s: float
    end_s: float
    opened_s: float
    peak: float
    peak_s: float


def alarms(stream: ScoreStream, policy: EventPolicy) -> list[Alarm]:
    """The events that the state machine makes of a stream.

    A sample below the end threshold after another one changes nothing but the time, which the next sample tells too:
    such samples are skipped, which makes a day of scores a matter of a second.
    """
    state, found, opened_s = NORMAL, list[Alarm](), 0.0
    for index in _indices_that_matter(stream, policy.end_threshold):
        at_s = float(stream.at_s[index])
        state, changes = step(state, Sample(at_s, at_s, float(stream.levels[index])), policy)
        for change in changes:
            if isinstance(change, Ended):
                found.append(_alarm(change, opened_s))
            else:
                opened_s = at_s
    _, changes = force_end(state, EndReason.NORMAL)
    return found + [_alarm(change, opened_s) for change in changes if isinstance(change, Ended)]


def _alarm(ended: Ended, opened_s: float) -> Alarm:
    return Alarm(ended.began.wall_s, ended.ended.wall_s, opened_s, ended.peak.score, ended.peak.wall_s)


def _indices_that_matter(stream: ScoreStream, end_threshold: float) -> npt.NDArray[np.intp]:
    """Indices of the samples that can change a state."""
    above = stream.levels >= end_threshold
    after = np.concatenate([[False], above[:-1]])
    return np.flatnonzero(above | after)


def event_peaks(stream: ScoreStream, policy: EventPolicy) -> list[float]:
    """Peaks such that at any start threshold at least as many reach it as there are alarms; descending.

    A run of samples over the end threshold opens an event at the thresholds up to its *critical level*: the highest
    sample that is followed by min_duration over the end threshold. Of runs that a cooldown could join, the highest is
    kept. The thresholds in ``policy`` but the end threshold play no role.
    """
    starts, critical = _runs(stream, policy)
    kept_at: list[float] = []
    peaks: list[float] = []
    for index in np.argsort(critical)[::-1]:
        if all(abs(starts[index] - other) > policy.closing_s for other in kept_at):
            kept_at.append(float(starts[index]))
            peaks.append(float(critical[index]))
    return peaks


def _runs(stream: ScoreStream, policy: EventPolicy) -> tuple[Float64Array, Float64Array]:
    """When the critical sample of each run over the end threshold came, and its level; runs too short are left out."""
    above = np.concatenate([[False], stream.levels >= policy.end_threshold, [False]])
    firsts, ends = np.flatnonzero(~above[:-1] & above[1:]), np.flatnonzero(above[:-1] & ~above[1:])
    at_s, critical = [], []
    for first, end in zip(firsts, ends, strict=True):
        last_s = stream.at_s[end - 1] - policy.min_duration_s
        eligible = first + int(np.searchsorted(stream.at_s[first:end], last_s + 1e-9, side="right"))
        if eligible > first:
            peak = first + int(np.argmax(stream.levels[first:eligible]))
            at_s.append(stream.at_s[peak])
            critical.append(stream.levels[peak])
    return np.array(at_s), np.array(critical)
