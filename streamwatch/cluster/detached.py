"""Starts a program that belongs to nobody: Ray ends what its workers started, and a shard is to outlive its worker.

``python -m streamwatch.cluster.detached PIDFILE LOG COMMAND...`` starts COMMAND in a session of its own, writes its number down
and ends.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def main(arguments: list[str]) -> None:
    """Start it."""
    pid_file, log, *command = arguments
    with Path(log).open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - what the cluster's supervisor asks for
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=output, start_new_session=True
        )
    Path(pid_file).write_text(str(process.pid), encoding="ascii")


if __name__ == "__main__":
    main(sys.argv[1:])
