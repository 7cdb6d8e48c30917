"""The decision state machine (docs/decisions/0009-events.md), as a pure function.

::

    normal --score >= start--> pending --held for min_duration--> open
    pending --score < end, or a cut--> normal          (a near miss)
    open --score < end--> closing
    closing --score >= end within end_delay, or >= start later--> open     (the same event goes on)
    closing --max(end_delay, cooldown) passed--> normal                    (ended)
    open --max_duration passed--> pending, linked to the event just ended
    any open state --forced--> normal                                      (ended)

What is held is what was seen: between two segments of a source, or two connections to a camera, nothing was, and the causal
filter starts anew. Calibration counts in the same way (``held_peaks.held_levels``). An open event goes on over a cut.

A short dip is bridged at the end threshold, because that is what hysteresis is for; once end_delay has passed,
only a new crossing of the start threshold reopens, or normal noise above the end threshold would keep an event
open through its whole cooldown.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from streamwatch.enums import EndReason


class Stage(Enum):
    """Where a (camera, zone) stands."""

    NORMAL = "normal"
    PENDING = "pending"
    OPEN = "open"
    CLOSING = "closing"


@dataclass(frozen=True, slots=True)
class EventPolicy:
    """What opens and closes an event; times in seconds, thresholds in units of the score."""

    start_threshold: float
    end_threshold: float
    min_duration_s: float = 1.0
    end_delay_s: float = 2.0
    cooldown_s: float = 30.0
    max_duration_s: float = float("inf")

    def __post_init__(self) -> None:
        if not 0 < self.end_threshold < self.start_threshold:
            raise ValueError(f"need 0 < end < start: {self.end_threshold}, {self.start_threshold}")
        if min(self.min_duration_s, self.end_delay_s, self.cooldown_s) < 0 or self.max_duration_s <= 0:
            raise ValueError("durations must not be negative")

    @property
    def closing_s(self) -> float:
        """How long a closing event may still be reopened."""
        return max(self.end_delay_s, self.cooldown_s)


@dataclass(frozen=True, slots=True)
class Sample:
    """One score; ``wall_s`` orders samples, ``time_s`` is the position in the source, ``segment`` as in ``Frame``."""

    wall_s: float
    time_s: float
    score: float
    segment: int = 0


@dataclass(frozen=True, slots=True)
class State:
    """State of one (camera, zone).

    Attributes:
        began: first sample of the pending or open event.
        last_above: its last sample that held it open.
        peak: its highest sample.
        closing_since: first sample below the end threshold, while closing.
        successor: whether it follows an event that max_duration ended.
    """

    stage: Stage = Stage.NORMAL
    began: Sample | None = None
    last_above: Sample | None = None
    peak: Sample | None = None
    closing_since: Sample | None = None
    successor: bool = False

    @property
    def segment(self) -> int | None:
        """Of what is pending or open, as it was last seen."""
        return self.last_above.segment if self.last_above else None


@dataclass(frozen=True, slots=True)
class Started:
    """An event opened."""

    began: Sample
    peak: Sample
    successor: bool


@dataclass(frozen=True, slots=True)
class Ended:
    """The open event ended at ``ended``, for ``reason``."""

    began: Sample
    ended: Sample
    peak: Sample
    reason: EndReason


Change = Started | Ended
NORMAL = State()


def step(state: State, sample: Sample, policy: EventPolicy) -> tuple[State, tuple[Change, ...]]:
    """Advance by one sample, in order of ``wall_s``."""
    match state.stage:
        case Stage.NORMAL:
            return _step_normal(sample, policy)
        case Stage.PENDING:
            return _step_pending(state, sample, policy)
        case Stage.OPEN:
            return _step_open(state, sample, policy)
        case Stage.CLOSING:
            return _step_closing(state, sample, policy)


def force_end(state: State, reason: EndReason) -> tuple[State, tuple[Change, ...]]:
    """End whatever is open; what is pending is dropped."""
    if state.stage in (Stage.OPEN, Stage.CLOSING):
        return NORMAL, (_ended(state, reason),)
    return NORMAL, ()


def _step_normal(sample: Sample, policy: EventPolicy, *, successor: bool = False) -> tuple[State, tuple[Change, ...]]:
    if sample.score < policy.start_threshold:
        return NORMAL, ()
    pending = State(Stage.PENDING, sample, sample, sample, successor=successor)
    return _open_if_held(pending, sample, policy)


def _step_pending(state: State, sample: Sample, policy: EventPolicy) -> tuple[State, tuple[Change, ...]]:
    if sample.segment != state.segment:
        return _step_normal(sample, policy, successor=state.successor)
    if sample.score < policy.end_threshold:
        return NORMAL, ()
    return _open_if_held(_held(state, sample), sample, policy)


def _step_open(state: State, sample: Sample, policy: EventPolicy) -> tuple[State, tuple[Change, ...]]:
    if sample.score < policy.end_threshold:
        return replace(state, stage=Stage.CLOSING, closing_since=sample), ()
    state = _held(state, sample)
    if state.began is not None and sample.wall_s - state.began.wall_s >= policy.max_duration_s:
        return State(Stage.PENDING, sample, sample, sample, successor=True), (_ended(state, EndReason.MAX_DURATION),)
    return state, ()


def _step_closing(state: State, sample: Sample, policy: EventPolicy) -> tuple[State, tuple[Change, ...]]:
    since_s = state.closing_since.wall_s if state.closing_since else sample.wall_s
    elapsed_s = sample.wall_s - since_s
    if elapsed_s >= policy.closing_s:
        ended = _ended(state, EndReason.NORMAL)
        following, changes = _step_normal(sample, policy)
        return following, (ended, *changes)
    reopens_at = policy.end_threshold if elapsed_s < policy.end_delay_s else policy.start_threshold
    if sample.score >= reopens_at:
        return _held(replace(state, stage=Stage.OPEN, closing_since=None), sample), ()
    return state, ()


def _open_if_held(state: State, sample: Sample, policy: EventPolicy) -> tuple[State, tuple[Change, ...]]:
    began, peak = _require(state.began), _require(state.peak)
    if sample.wall_s - began.wall_s < policy.min_duration_s:
        return state, ()
    return replace(state, stage=Stage.OPEN), (Started(began, peak, state.successor),)


def _held(state: State, sample: Sample) -> State:
    peak = sample if state.peak is None or sample.score > state.peak.score else state.peak
    return replace(state, last_above=sample, peak=peak)


def _ended(state: State, reason: EndReason) -> Ended:
    return Ended(_require(state.began), _require(state.last_above), _require(state.peak), reason)


def _require(sample: Sample | None) -> Sample:
    if sample is None:
        raise AssertionError("an event without samples")
    return sample
