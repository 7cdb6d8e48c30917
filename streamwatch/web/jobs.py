"""Work that takes long: our own commands, in processes of their own, so that no camera waits for it.

A job is exactly what somebody would type, and what it says is what the command says. Two run at once at most, one that may take
hours and one that does not, so that a label is not kept waiting by a camera that is learned; never two of one camera.
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
from functools import partial
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
LANES = {"jobs": False, "long-jobs": True}
"""The threads that do them, and whether each does those that may take hours."""
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
        subject: the camera that it is about.
        arguments: of the command.
        long: it may take hours.
        share: of it that is done, 0 to 1; None where that is not known.
        lines: what it said.
    """

    id: str
    kind: str
    subject: str
    arguments: tuple[str, ...]
    asked_wall_s: float
    long: bool = False
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
    """Does what is asked for, from any thread, in turn.

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
        self._running: dict[str, tuple[Job, Process]] = {}
        self._threads: list[threading.Thread] = []

    def start(self, guard: ThreadGuard) -> None:
        """Begin to do what is asked for."""
        self._threads = [guard.start(name, partial(self._run, long), self._stopping) for name, long in LANES.items()]

    def stop(self) -> None:
        """End those that run, and begin no other."""
        with self._changed:
            self._stopping.set()
            for _, process in self._running.values():
                process.terminate()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(STOP_S)

    def ask(
        self,
        kind: str,
        subject: str,
        arguments: Sequence[str],
        then: Callable[[], object] = lambda: None,
        *,
        long: bool = False,
    ) -> Job:
        """Have a command run; ``then`` is called if it went well.

        Args:
            long: it may take hours, and so does not keep the others waiting.

        Raises:
            UsageError: too many wait.
        """
        now_s = self._clock.wall_s()
        job = Job(uuid7(now_s), kind, subject, tuple(arguments), now_s, long, then=then)
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
            if job.state == JobState.RUNNING:
                job.state = JobState.CANCELLED
                if job.id in self._running:
                    self._running[job.id][1].terminate()
            elif job.state == JobState.WAITING:
                self._end(job, JobState.CANCELLED)
            return True

    def _run(self, long: bool) -> None:
        while (job := self._next(long)) is not None:
            failure = caught(partial(self._do, job))
            if failure is not None:  # or its camera would have no other job any more
                job.lines.append(f"internal fault ({failure.__class__.__name__})")
                self._settle(job, 1)
                raise failure

    def _next(self, long: bool) -> Job | None:
        with self._changed:
            while not self._stopping.is_set():
                known = list(self._jobs.values())
                taken = {job.subject for job in known if job.began_wall_s is not None and job.ended_wall_s is None}
                may_begin = (job for job in known if job.state == JobState.WAITING and job.long == long)
                waiting = next((job for job in may_begin if job.subject not in taken), None)
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
            self._running[job.id] = job, process
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
            self._running.pop(job.id, None)
            ended = JobState.DONE if went_well else JobState.FAILED
            self._end(job, JobState.CANCELLED if job.state == JobState.CANCELLED else ended)
            self._changed.notify_all()
        log.log(logging.INFO if went_well else logging.WARNING, "job %s: streamwatch %s", job.state, job.arguments[0])

    def _end(self, job: Job, state: JobState) -> None:
        job.state, job.ended_wall_s = state, self._clock.wall_s()
