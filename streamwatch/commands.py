"""Our own commands, each in a process of its own, so that no camera waits for it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence


def start_command(
    arguments: Sequence[str], *, stdout: int = subprocess.DEVNULL, stderr: int | None = None, threads: int | None = None
) -> subprocess.Popen[str]:
    """Start ``streamwatch ARGUMENTS``, by this interpreter.

    Args:
        stdout: where what it says goes: one of ``subprocess``'s constants, or a file descriptor.
        stderr: likewise; None for where ours goes.
        threads: that it computes with; None is what the environment says, else one.

    Raises:
        OSError: it cannot be started.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads or os.environ.get("OMP_NUM_THREADS", "1"))}
    return subprocess.Popen(  # noqa: S603 - our own command, and no shell that could read more into its arguments
        (sys.executable, "-m", "streamwatch", *arguments),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        text=True,
        errors="replace",
        env=environment,
    )
