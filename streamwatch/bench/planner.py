"""How many cameras a machine carries: estimated from an overload, and then run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from streamwatch.bench.trial import Trial

LOAD = 0.6
"""Share of what the machine scores at most that is planned for: events, clips, other programs and faults need the rest."""
LATENCY_P99_S = 0.3
DROPPED_AT_MOST = 0.01
_TRIES = 5

RunTrial = Callable[[int], Trial]


@dataclass(frozen=True)
class Plan:
    """What was found.

    Attributes:
        overload: the trial that says what the machine scores at most.
        trials: of the numbers that were tried, in order; the last one holds, if any does.
        cameras: that it carries; 0 if not even one.
    """

    overload: Trial
    trials: tuple[Trial, ...]
    cameras: int


def holds(trial: Trial) -> bool:
    """Whether the cameras are carried: nearly nothing dropped, and the 99th percentile of latency at most 300 ms."""
    return trial.dropped <= DROPPED_AT_MOST and trial.latency_s[1] <= LATENCY_P99_S


def plan(run: RunTrial, *, fps: float, overload_cameras: int) -> Plan:
    """Overload it, take 60 % of what it scored, and run just that; fewer, and at last one, until it holds."""
    overload = run(overload_cameras)
    most = max(int(LOAD * overload.scored_fps / fps), 1)
    trials: list[Trial] = []
    for cameras in dict.fromkeys([*(max(int(most * 0.7**n), 1) for n in range(_TRIES)), 1]):
        trials.append(run(cameras))
        if holds(trials[-1]):
            return Plan(overload, tuple(trials), cameras)
    return Plan(overload, tuple(trials), 0)
