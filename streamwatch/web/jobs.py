"""Work that takes long: our own commands, one after the other in processes of their own, so that no camera waits for it.

A job is exactly what somebody would type, and what it says is what the command says.
"""

from __future__ import annotations

import logging
import os
import re
import subprocess
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from streamwatch.clock import Clock
from streamwatch.commands import start_command
from streamwatch.errors import UsageError
from streamwatch.ids import uuid7
from streamwatch.masking import mask_credentials
from streamwatch.retry import caught
from streamwatch.threads import ThreadGuard

log = logging.getLogger(__name__)
MAX_WAITING, MAX_KEPT = 100, 200
MAX_LINES = 100
"""Of what a job says, the newest."""
NICENESS = 10
_PROGRESS = re.compile(r"(\d+) of (\d+) frames")
STOP_S = 5.0


class JobState(StrEnum):
    """Where a job stands."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass
class Job:
    """One job; changed by the runner alone.

    Attributes:
        kind: what it is for people: ``learn``, ``teach`` and such.
        subject: the camera or event that it is about.
        arguments: of the command.
        share: of it that is done, 0 to 1; None where that is not known.
        lines: what it said.
    """

    id: str
    kind: str
    subject: str
    arguments: tuple[str, ...]
    asked_wall_s: float
    state: JobState = JobState.WAITING
    began_wall_s: float | None = None
    ended_wall_s: float | None = None
    share: float | None = None
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=MAX_LINES))
    then: Callable[[], object] = field(default=lambda: None, repr=False)


class Process(Protocol):
    """A command that runs."""

    def lines(self) -> Iterable[str]:
        """What it says, as it says it, until it has ended."""
        ...

    def wait(self) -> int:
        """Its exit code."""
        ...

    def terminate(self) -> None:
        """End it."""
        ...


class CommandProcess:
    """One of our commands, in a process that gives way to the daemon.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        self._process = start_command(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        os.setpriority(os.PRIO_PROCESS, self._process.pid, NICENESS)

    def lines(self) -> Iterator[str]:
        """What it says."""
        if self._process.stdout is not None:
            with self._process.stdout as output:
                yield from output

    def wait(self) -> int:
        """Its exit code."""
        return self._process.wait()

    def terminate(self) -> None:
        """End it: what it writes is written as a whole or not at all."""
        self._process.terminate()


class Jobs:
    """Does one job after the other; asked from any thread.

    Args:
        start: starts a command; raises OSError.
        on_done: called after each that went well, because models may be others.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        start: Callable[[Sequence[str]], Process] = CommandProcess,
        on_done: Callable[[], None] = lambda: None,
    ) -> None:
        self._clock, self._start, self._on_done = clock, start, on_done
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._running: tuple[Job, Process] | None = None
        self._thread: threading.Thread | None = None

    def start(self, guard: ThreadGuard) -> None:
        """Begin to do what is asked for."""
        self._thread = guard.start("jobs", self._run, self._stopping)

    def stop(self) -> None:
        """End the one that runs, and begin no other."""
        with self._changed:
            self._stopping.set()
            if self._running:
                self._running[1].terminate()
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(STOP_S)

    def ask(self, kind: str, subject: str, arguments: Sequence[str], then: Callable[[], object] = lambda: None) -> Job:
        """Have a command run; ``then`` is called if it went well.

        Raises:
            UsageError: too many wait.
        """
        now_s = self._clock.wall_s()
        job = Job(uuid7(now_s), kind, subject, tuple(arguments), now_s, then=then)
        with self._changed:
            if self._room() < 1:
                raise UsageError(f"{MAX_WAITING} jobs wait already", hint="try again later")
            self._jobs[job.id] = job
            for old in [known.id for known in self._jobs.values() if known.ended_wall_s is not None][:-MAX_KEPT]:
                del self._jobs[old]
            self._changed.notify_all()
        return job

    def has_room(self, jobs: int) -> bool:
        """Whether so many more may be asked for."""
        with self._changed:
            return self._room() >= jobs

    def _room(self) -> int:
        return MAX_WAITING - sum(known.state == JobState.WAITING for known in self._jobs.values())

    def list_jobs(self) -> list[Job]:
        """The newest first."""
        with self._changed:
            return list(reversed(self._jobs.values()))

    def find(self, job_id: str) -> Job | None:
        """One of them."""
        with self._changed:
            return self._jobs.get(job_id)

    def cancel(self, job_id: str) -> bool:
        """End a job, or never begin it; whether it was not over yet."""
        with self._changed:
            job = self._jobs.get(job_id)
            if job is None or job.ended_wall_s is not None:
                return False
            if self._running and self._running[0] is job:
                job.state = JobState.CANCELLED
                self._running[1].terminate()
            else:
                self._end(job, JobState.CANCELLED)
            return True

    def _run(self) -> None:
        while (job := self._next()) is not None:
            self._do(job)

    def _next(self) -> Job | None:
        with self._changed:
            while not self._stopping.is_set():
                waiting = next((job for job in self._jobs.values() if job.state == JobState.WAITING), None)
                if waiting:
                    waiting.state, waiting.began_wall_s = JobState.RUNNING, self._clock.wall_s()
                    return waiting
                self._changed.wait()
            return None

    def _do(self, job: Job) -> None:
        log.info("job begins: streamwatch %s", mask_credentials(" ".join(job.arguments)))
        try:
            process = self._start(job.arguments)
        except OSError as error:
            job.lines.append(f"it cannot be started ({error.strerror})")
            self._settle(job, 1)
            return
        with self._changed:
            self._running = job, process
            if self._stopping.is_set() or job.state == JobState.CANCELLED:
                process.terminate()
        for line in process.lines():
            job.lines.append(mask_credentials(line.rstrip()))
            found = _PROGRESS.search(line)
            if found and int(found[2]):
                job.share = min(int(found[1]) / int(found[2]), 1.0)
        self._settle(job, process.wait())

    def _settle(self, job: Job, code: int) -> None:
        went_well = code == 0 and job.state == JobState.RUNNING
        failure = caught(lambda: job.then() and None) if went_well else None
        if failure is not None:
            went_well = False
            job.lines.append(mask_credentials(f"error: {failure}"))
        elif went_well:
            self._on_done()
        with self._changed:
            self._running = None
            ended = JobState.DONE if went_well else JobState.FAILED
            self._end(job, JobState.CANCELLED if job.state == JobState.CANCELLED else ended)
        log.log(logging.INFO if went_well else logging.WARNING, "job %s: streamwatch %s", job.state, job.arguments[0])

    def _end(self, job: Job, state: JobState) -> None:
        job.state, job.ended_wall_s = state, self._clock.wall_s()
