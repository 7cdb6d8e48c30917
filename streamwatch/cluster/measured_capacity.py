"""What a shard's machine carries, measured by `streamwatch bench` before the first shard runs there, and kept."""

from __future__ import annotations

import json
import logging
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from streamwatch import __version__
from streamwatch.commands import start_command
from streamwatch.config.schema import Config
from streamwatch.files import write_atomically

log = logging.getLogger(__name__)
TRIAL_S = 8.0
"""Of each of the bench's trials, of which it takes two to seven."""
UNMEASURED_FPS = 1.0
"""A machine that could not be measured is used last, and not left alone: it may be the only one."""
NATIVE_FPS = 25.0
"""What a camera of ``fps: native`` is taken to send."""


class Running(Protocol):
    """A process that was started."""

    returncode: int | None

    def poll(self) -> int | None:
        """Its exit status; None while it runs."""
        ...

    def communicate(self) -> tuple[str, str | None]:
        """What it said; waits for its end."""
        ...

    def kill(self) -> None:
        """End it."""
        ...


Start = Callable[[Sequence[str]], Running]


def start_bench(arguments: Sequence[str]) -> Running:
    """On all of the machine's cores."""
    return start_command(arguments, stdout=subprocess.PIPE, threads=os.cpu_count() or 1)


def bench_arguments(config: Config) -> tuple[str, ...]:
    """A bench of what a configuration's cameras are scored at."""
    fps = config.defaults.fps
    rate = NATIVE_FPS if fps == "native" else float(fps)
    said = ("--fps", f"{rate:g}", "--device", config.device, "--precision", config.precision, "--seconds", f"{TRIAL_S:g}")
    return ("bench", "--json", *said)


class MeasuredCapacity:
    """One machine's, or one of its GPUs'; measured once for each way of asking.

    Args:
        path: where it is kept.
        start: starts a command of ours.
    """

    def __init__(self, path: Path, arguments: Sequence[str], *, start: Start = start_bench) -> None:
        self._path, self._arguments, self._start = path, list(arguments), start
        self._running: Running | None = None
        self._failed = False

    def now(self, *, busy: bool = False) -> float | None:
        """Frames a second that it carries; None until that is measured, which this begins and does not wait for.

        Args:
            busy: a shard is at work already: it is not measured beside that, and what was measured last holds.

        Raises:
            UsageError: what was measured cannot be written; OSError: the command cannot be started.
        """
        if self._running is not None:
            return self._measured() if self._running.poll() is not None else None
        known = self._known(of_now=not busy)
        if known is None and not busy and not self._failed:
            log.info("measuring what this machine carries: %s", " ".join(self._arguments))
            self._running = self._start(self._arguments)
            return None
        return known or UNMEASURED_FPS

    def stop(self) -> None:
        """Measure no more."""
        if self._running is not None:
            self._running.kill()
            self._running.communicate()
            self._running = None

    def _measured(self) -> float | None:
        said, _ = self._running.communicate() if self._running else ("", None)
        self._running = None
        carried = _carried(said)
        if carried is None:
            self._failed = True
            log.error("what this machine carries could not be measured: it is given as little as can be; see `--capacity`")
            return UNMEASURED_FPS
        write_atomically(self._path, json.dumps({**self._of, "fps": carried}))
        return carried

    def _known(self, *, of_now: bool) -> float | None:
        with suppress(OSError, ValueError, KeyError, TypeError):
            document = json.loads(self._path.read_text(encoding="utf-8"))
            fps = float(document.pop("fps")) if isinstance(document, dict) else 0.0
            return fps if fps > 0 and (document == self._of or not of_now) else None
        return None

    @property
    def _of(self) -> Mapping[str, Any]:
        """What a measurement holds for: another version may be faster, and a folder may be copied to another machine."""
        return {"arguments": self._arguments, "version": __version__, "cores": os.cpu_count(), "host": os.uname().nodename}


def _carried(said: str) -> float | None:
    """Frames a second of the cameras that a bench ran without loss."""
    with suppress(ValueError, KeyError, TypeError):
        document = json.loads(said)
        carried = float(document["cameras"]) * float(document["camera"]["fps"])
        return carried if document["carried"] and carried > 0 else None
    return None
