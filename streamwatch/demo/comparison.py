"""Events against what was planted: found, missed, false."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from streamwatch.demo.rendering import Planted
from streamwatch.records import Event

_SLACK_S = 1.0


@dataclass(frozen=True)
class Comparison:
    """What became of every event and every planted anomaly.

    Attributes:
        causes: for each event, what truly caused it, or None for a false alarm.
        missed: planted anomalies that no event covers.
    """

    causes: tuple[Planted | None, ...]
    missed: tuple[Planted, ...]

    @property
    def false_alarms(self) -> int:
        """Number of events that nothing planted explains."""
        return self.causes.count(None)


def compare_with_planted(events: Sequence[Event], planted: Sequence[Planted]) -> Comparison:
    """Match events with planted anomalies by time, with a second's slack at both ends."""
    causes = tuple(_cause(event, planted) for event in events)
    return Comparison(causes, tuple(p for p in planted if p not in causes))


def _cause(event: Event, planted: Sequence[Planted]) -> Planted | None:
    """The planted anomaly that the event's peak falls into."""
    peak_s = event.peak.time_s
    return next((p for p in planted if p.start_s - _SLACK_S <= peak_s <= p.end_s + _SLACK_S), None)
