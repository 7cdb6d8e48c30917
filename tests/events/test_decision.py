"""The state machine: its stated properties for any stream of scores, and the paths of docs/decisions/0009-events.md by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamwatch.enums import EndReason
from streamwatch.events.decision import NORMAL, Change, Ended, EventPolicy, Sample, Stage, Started, State, force_end, step

RULES = EventPolicy(10, 6, min_duration_s=1, end_delay_s=2, cooldown_s=5, max_duration_s=60)


def run(scores: Sequence[float], rules: EventPolicy = RULES, step_s: float = 0.5) -> tuple[State, list[Change]]:
    return run_samples([Sample(i * step_s, i * step_s, score) for i, score in enumerate(scores)], rules)


def run_samples(samples: list[Sample], rules: EventPolicy) -> tuple[State, list[Change]]:
    state, changes = NORMAL, list[Change]()
    for sample in samples:
        state, new = step(state, sample, rules)
        changes += new
    return state, changes


def spans(changes: list[Change]) -> list[tuple[float, float]]:
    return [(c.began.wall_s, c.ended.wall_s) for c in changes if isinstance(c, Ended)]


def test_a_short_crossing_is_a_near_miss() -> None:
    assert run([0, 12, 12, 0, 0])[1] == []


def test_holding_above_the_end_threshold_is_enough_to_open() -> None:
    state, changes = run([0, 12, 7, 7, 7])
    assert state.stage is Stage.OPEN
    assert [type(c) for c in changes] == [Started]


def test_it_ends_once_at_the_last_time_above_after_the_cooldown() -> None:
    _, changes = run([0, 12, 12, 12, 12] + [0] * 14)
    assert spans(changes) == [(0.5, 2.0)]
    assert isinstance(changes[-1], Ended)
    assert changes[-1].reason == "normal"


def test_a_dip_within_end_delay_is_bridged_at_the_end_threshold() -> None:
    _, changes = run([12, 12, 12, 0, 0, 7, 7, 0] + [0] * 14)
    assert spans(changes) == [(0.0, 3.0)]


def test_after_end_delay_only_a_new_crossing_reopens() -> None:
    noise = [12, 12, 12] + [0] * 6 + [7, 7] + [0] * 14
    crossing = [12, 12, 12] + [0] * 6 + [12] + [0] * 14
    assert spans(run(noise)[1]) == [(0.0, 1.0)]
    assert spans(run(crossing)[1]) == [(0.0, 4.5)]
    assert sum(isinstance(c, Started) for c in run(crossing)[1]) == 1


def test_max_duration_makes_a_linked_successor() -> None:
    rules = EventPolicy(10, 6, min_duration_s=1, end_delay_s=2, cooldown_s=5, max_duration_s=4)
    state, changes = run([12] * 12, rules)
    assert [type(c) for c in changes] == [Started, Ended, Started]
    ended, started = changes[1], changes[2]
    assert isinstance(ended, Ended)
    assert isinstance(started, Started)
    assert ended.reason == "max_duration"
    assert started.successor
    assert started.began == ended.ended
    assert state.stage is Stage.OPEN


def test_what_is_held_over_a_cut_was_not_seen() -> None:
    """The first frame of a connection is not averaged with any before: two of them, at a flaky camera, are no event."""
    over = [Sample(0.0, 0.3, 12), Sample(1.2, 0.6, 12, segment=1), Sample(2.4, 0.9, 12, segment=2)]
    state, changes = run_samples(over, RULES)
    assert (state.stage, changes) == (Stage.PENDING, [])
    assert state.began == over[-1]
    state, changes = run_samples([*over, Sample(3.4, 1.9, 12, segment=2)], RULES)
    assert isinstance(changes[0], Started)
    assert changes[0].began == over[-1]
    assert run_samples([*over, Sample(2.9, 0.0, 8, segment=3)], RULES) == (NORMAL, []), "nor is the end threshold enough"


def test_an_open_event_and_a_successor_go_on_over_a_cut() -> None:
    rules = EventPolicy(10, 6, min_duration_s=1, end_delay_s=2, cooldown_s=5, max_duration_s=4)
    before = [Sample(float(at), at, 12) for at in range(5)]
    after = [Sample(5.0 + at, at, 12, segment=1) for at in range(2)]
    state, _ = run_samples([*before[:3], replace(after[0], wall_s=3.0)], rules)
    assert (state.stage, state.began) == (Stage.OPEN, before[0])
    _, changes = run_samples(before + after, rules)
    assert [type(change) for change in changes] == [Started, Ended, Started]
    assert isinstance(changes[2], Started)
    assert (changes[2].successor, changes[2].began) == (True, after[0])


def test_forced_ends_what_is_open_and_drops_what_is_pending() -> None:
    pending, _ = run([12])
    assert force_end(pending, EndReason.SHUTDOWN) == (NORMAL, ())
    opened, _ = run([12, 12, 12])
    state, (change,) = force_end(opened, EndReason.SHUTDOWN)
    assert state == NORMAL
    assert isinstance(change, Ended)
    assert change.reason == "shutdown"


@pytest.mark.parametrize("bad", [(5, 5), (5, 6), (5, 0)])
def test_thresholds_must_be_apart(bad: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="end < start"):
        EventPolicy(*bad)


SAMPLES = st.lists(st.tuples(st.floats(0.01, 8), st.floats(0, 20)), max_size=120)
ANY_RULES = st.builds(
    lambda start, share, low, delay, cooldown, long: EventPolicy(start, start * share, low, delay, cooldown, long),
    st.floats(2, 15),
    st.floats(0.1, 0.99),
    st.floats(0, 4),
    st.floats(0, 6),
    st.floats(0, 20),
    st.floats(5, 80),
)


@settings(max_examples=400)
@given(SAMPLES, ANY_RULES)
def test_properties_of_any_stream(steps: list[tuple[float, float]], rules: EventPolicy) -> None:
    now_s, samples = 0.0, []
    for delta_s, score in steps:
        now_s += delta_s
        samples.append(Sample(now_s, now_s, score))
    state, changes = run_samples(samples, rules)
    changes += force_end(state, EndReason.SHUTDOWN)[1]
    kinds = [type(c) for c in changes]
    assert kinds == [Started, Ended] * (len(kinds) // 2), "every started event ends once, before the next starts"
    previous_end_s = -1.0
    for began_s, ended_s in spans(changes):
        assert previous_end_s <= began_s <= ended_s, "events overlap or end before they start"
        assert ended_s - began_s >= rules.min_duration_s - 1e-9
        previous_end_s = ended_s
    for change in changes:
        if isinstance(change, Ended):
            inside = [s.score for s in samples if change.began.wall_s <= s.wall_s <= change.ended.wall_s]
            held = [score for score in inside if score >= rules.start_threshold]
            assert change.peak.score >= max(held, default=0), "a peak was lost"


@settings(max_examples=200)
@given(SAMPLES, ANY_RULES)
def test_a_held_crossing_is_never_lost(steps: list[tuple[float, float]], rules: EventPolicy) -> None:
    """Whatever came before, a crossing held for min_duration lies in an event."""
    now_s, samples = 0.0, []
    for delta_s, score in steps:
        now_s += delta_s
        samples.append(Sample(now_s, now_s, score))
    held = [Sample(now_s + 1 + i * 0.5, 0.0, rules.start_threshold + 1) for i in range(int(rules.min_duration_s / 0.5) + 3)]
    state, _ = run_samples(samples + held, rules)
    assert state.stage is Stage.OPEN or state.successor
