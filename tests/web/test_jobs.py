"""Work that takes long: in turn, told as it goes on, and ended by whoever asked."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from streamwatch.clock import SystemClock
from streamwatch.errors import UsageError
from streamwatch.masking import remember
from streamwatch.retry import Backoff
from streamwatch.threads import ThreadGuard
from streamwatch.web import jobs as jobs_module
from streamwatch.web.jobs import CommandProcess, Jobs, JobState


class Held:
    """A command that goes on until it is let go, or ended."""

    def __init__(self) -> None:
        self.ended, self.code = threading.Event(), 0

    def lines(self) -> Iterator[str]:
        yield "it holds planted-secret-1"
        self.ended.wait(10)

    def wait(self) -> int:
        return self.code

    def terminate(self) -> None:
        self.code = -15
        self.ended.set()


class Started:
    def __init__(self) -> None:
        self.held: list[Held] = []

    def __call__(self, _arguments: Sequence[str]) -> Held:
        self.held.append(Held())
        return self.held[-1]


def until(condition: Callable[[], bool]) -> None:
    until_s = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until_s
        time.sleep(0.005)


@pytest.fixture
def started() -> Started:
    return Started()


@pytest.fixture
def jobs(started: Started) -> Iterator[Jobs]:
    made = Jobs(SystemClock(), start=started)
    made.start(ThreadGuard(SystemClock()))
    yield made
    made.stop()


def test_one_after_the_other_and_secrets_are_masked(jobs: Jobs, started: Started) -> None:
    remember("planted-secret-1")
    first, second = jobs.ask("learn", "a", ["x"]), jobs.ask("learn", "b", ["y"])
    until(lambda: bool(first.lines))
    assert list(first.lines) == ["it holds ***"]
    assert (first.state, second.state, len(started.held)) == (JobState.RUNNING, JobState.WAITING, 1)
    started.held[0].ended.set()
    until(lambda: second.state == JobState.RUNNING)
    assert first.state == JobState.DONE
    assert [job.id for job in jobs.list_jobs()] == [second.id, first.id]


def test_a_label_waits_for_no_camera_that_is_learned_but_its_own(jobs: Jobs, started: Started) -> None:
    learned, next_learned = jobs.ask("learn", "a", ["x"], long=True), jobs.ask("learn", "b", ["x"], long=True)
    until(lambda: bool(learned.lines))
    of_same, other = jobs.ask("teach", "a", ["y"]), jobs.ask("teach", "c", ["y"])
    until(lambda: bool(other.lines))
    assert [job.state for job in (learned, next_learned, of_same)] == [JobState.RUNNING, JobState.WAITING, JobState.WAITING]
    started.held[1].ended.set()
    until(lambda: other.state == JobState.DONE)
    assert of_same.state == JobState.WAITING
    assert jobs.cancel(learned.id)
    until(lambda: bool(of_same.lines) and bool(next_learned.lines))
    assert learned.state == JobState.CANCELLED


def test_a_fault_of_ours_fails_its_job_and_the_next_is_done(started: Started) -> None:
    faults = [RuntimeError("not expected")]

    def on_done() -> None:
        if faults:
            raise faults.pop()

    jobs = Jobs(SystemClock(), start=started, on_done=on_done)
    jobs.start(ThreadGuard(SystemClock(), backoff=Backoff(first_s=0.01, max_s=0.01)))
    first, second = jobs.ask("teach", "a", ["x"]), jobs.ask("teach", "a", ["x"])
    until(lambda: bool(first.lines))
    started.held[0].ended.set()
    until(lambda: bool(second.lines))
    started.held[1].ended.set()
    until(lambda: second.ended_wall_s is not None)
    jobs.stop()
    assert (first.state, first.lines[-1], second.state) == (JobState.FAILED, "internal fault (RuntimeError)", JobState.DONE)


def test_stopping_ends_all_that_run(started: Started) -> None:
    jobs = Jobs(SystemClock(), start=started)
    jobs.start(ThreadGuard(SystemClock()))
    asked = [jobs.ask("learn", "a", ["x"], long=True), jobs.ask("teach", "b", ["y"])]
    until(lambda: all(job.lines for job in asked))
    jobs.stop()
    assert [job.state for job in asked] == [JobState.FAILED, JobState.FAILED]
    assert [held.code for held in started.held] == [-15, -15]


def test_what_runs_is_ended_and_what_waits_never_begins(jobs: Jobs, started: Started) -> None:
    first, second = jobs.ask("learn", "a", ["x"]), jobs.ask("learn", "b", ["y"])
    until(lambda: first.state == JobState.RUNNING and bool(started.held))
    assert jobs.cancel(second.id)
    assert jobs.cancel(first.id)
    until(lambda: first.ended_wall_s is not None)
    assert (first.state, second.state, len(started.held)) == (JobState.CANCELLED, JobState.CANCELLED, 1)
    assert not jobs.cancel(first.id)
    assert not jobs.cancel("none")


def test_what_is_to_be_done_afterwards_fails_as_a_part_of_it(jobs: Jobs, started: Started) -> None:
    def then() -> None:
        raise UsageError("the file cannot be written")

    job = jobs.ask("learn", "a", ["x"], then)
    until(lambda: bool(started.held))
    started.held[0].ended.set()
    until(lambda: job.ended_wall_s is not None)
    assert (job.state, job.lines[-1]) == (JobState.FAILED, "error: the file cannot be written")


def test_a_command_that_cannot_be_started_fails() -> None:
    def start(_arguments: Sequence[str]) -> Held:
        raise OSError(8, "Exec format error")

    jobs = Jobs(SystemClock(), start=start)
    jobs.start(ThreadGuard(SystemClock()))
    job = jobs.ask("learn", "a", ["x"])
    until(lambda: job.ended_wall_s is not None)
    jobs.stop()
    assert (job.state, list(job.lines)) == (JobState.FAILED, ["it cannot be started (Exec format error)"])


def test_too_many_are_refused_and_old_ones_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_module, "MAX_WAITING", 3)
    monkeypatch.setattr(jobs_module, "MAX_KEPT", 2)
    jobs = Jobs(SystemClock(), start=Started())
    asked = [jobs.ask("learn", "a", ["x"]) for _ in range(3)]
    with pytest.raises(UsageError, match="3 jobs wait already"):
        jobs.ask("learn", "a", ["x"])
    for job in asked:
        jobs.cancel(job.id)
    jobs.ask("learn", "a", ["x"])
    assert len(jobs.list_jobs()) == 3


def test_a_real_command_says_what_it_says() -> None:
    process = CommandProcess(["schema", "--no-such-option"])
    said = "".join(process.lines())
    assert (process.wait(), "no-such-option" in said) == (2, True)
