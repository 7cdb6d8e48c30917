"""One shard: a `streamwatch run` of this machine, which lives on when whoever started it is gone, and is found again."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from streamwatch.clock import Clock, SystemClock
from streamwatch.files import write_atomically
from streamwatch.retry import Backoff

log = logging.getLogger(__name__)
STARTED_WITHIN_S = 20.0
RAYS_OWN = ("RAY_", "OMP_NUM_THREADS", "STREAMWATCH_SHARD")
"""What Ray sets for its workers and what would say otherwise is not for the shard."""
LARGEST_LOG_BYTES = 10 << 20
BACKOFF = Backoff(first_s=2.0)


@dataclass(frozen=True, slots=True)
class ShardState:
    """What a shard is at present.

    Attributes:
        pid: of its process; None if there is none.
        cameras: that it was given last, whether it lives or not.
        started: how often its process was begun by who was asked.
    """

    name: str
    pid: int | None
    cameras: tuple[str, ...]
    started: int


class ShardProcess:
    """Keeps one process running with the cameras that it is given.

    Args:
        folder: where its files are: NAME.json its cameras, NAME.pid, NAME.log.
        started_in: the folder that it is begun in; None, or one that is not there, is the present one.
    """

    def __init__(
        self, name: str, config: Path, folder: Path, clock: Clock | None = None, started_in: Path | None = None
    ) -> None:
        self._started_in = started_in if started_in is not None and started_in.is_dir() else None
        self.name, self._config, self._clock = name, config, clock or SystemClock()
        self._failures, self._begun_s, self._seen_s, self._not_before_s = 0, 0.0, 0.0, float("-inf")
        folder.mkdir(parents=True, exist_ok=True)
        self._placement, self._pid_file, self._log = (folder / f"{name}{end}" for end in (".json", ".pid", ".log"))
        self._started = 0

    def run_once(self, cameras: Collection[str] | None) -> ShardState:
        """Give it its cameras, and begin it if it has some and does not run.

        Args:
            cameras: None only asks.

        Raises:
            UsageError: its files cannot be written; OSError: the process cannot be begun.
        """
        known = self._known()
        if cameras is not None and (known is None or set(known) != set(cameras)):
            known = tuple(sorted(cameras))
            write_atomically(self._placement, json.dumps({"cameras": known}))
        pid = self.pid
        if pid is not None:
            self._seen_s = self._clock.monotonic_s()
        if cameras and pid is None and self._clock.monotonic_s() >= self._not_before_s:
            self._start()
            pid = self.pid
        return ShardState(self.name, pid, known or (), self._started)

    @property
    def pid(self) -> int | None:
        """Of the process, if it lives; another one that has its number by now does not count."""
        with suppress(OSError, ValueError):
            pid = int(self._pid_file.read_text(encoding="ascii"))
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if os.fsencode(self._placement) in arguments:
                return pid
        return None

    def stop(self) -> None:
        """Ask the process to end; its cameras are free when it has."""
        if (pid := self.pid) is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def _known(self) -> tuple[str, ...] | None:
        with suppress(OSError, ValueError, KeyError):
            return tuple(json.loads(self._placement.read_text(encoding="utf-8"))["cameras"])
        return None

    def _start(self) -> None:
        """Begin it; one that ends soon after is begun again ever later, up to a minute: it may be refused its configuration."""
        now_s = self._clock.monotonic_s()
        self._failures = 1 if self._seen_s - self._begun_s >= BACKOFF.reset_after_s else self._failures + 1
        self._begun_s = self._seen_s = now_s
        self._not_before_s = now_s + BACKOFF.delay_s(self._failures, 1.0)
        if self._log.is_file() and self._log.stat().st_size > LARGEST_LOG_BYTES:
            self._log.replace(self._log.with_suffix(".log.1"))
        program = (sys.executable, "-m", "streamwatch", "run", "-c", str(self._config), "--placement", str(self._placement))
        starter = (sys.executable, "-m", "streamwatch.cluster.detached", str(self._pid_file), str(self._log))
        environment = {name: value for name, value in os.environ.items() if not name.startswith(RAYS_OWN)}
        subprocess.run((*starter, *program), env=environment, cwd=self._started_in, timeout=STARTED_WITHIN_S, check=True)  # noqa: S603 - ours
        self._started += 1
        log.info("shard %s: begun", self.name)
