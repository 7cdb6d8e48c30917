"""A PostgreSQL server of our own on a loopback port, which can be killed and started again."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

START_TIMEOUT_S = 60


def server_programs() -> Path | None:
    """Where PostgreSQL's server is, or None: Debian keeps it out of the PATH."""
    found = shutil.which("initdb")
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return Path(found).parent if found else versions[-1].parent if versions else None


@dataclass(frozen=True)
class PostgresServer:
    """One, with its data in a folder.

    Attributes:
        options: for ``postgres``, besides its address.
    """

    programs: Path
    folder: Path
    port: int
    options: str = ""

    @property
    def url(self) -> str:
        """SQLAlchemy URL without a database's name."""
        return f"postgresql+psycopg://streamwatch@127.0.0.1:{self.port}"

    def make(self) -> None:
        """Make its data, which trust everybody: it listens on loopback alone."""
        if os.getuid() == 0:
            shutil.chown(self.folder, "postgres")
            for parent in self.folder.parents[:3]:
                with suppress(OSError):
                    parent.chmod(parent.stat().st_mode | 0o011)  # a folder of tests is its user's alone
        self._run("initdb", "-A", "trust", "-U", "streamwatch", "-D", self.folder / "data")

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 {self.options}"
        self._control("-o", options, "-l", self.folder / "log", "start")

    def kill(self) -> None:
        """End it at once, as a crash would: what was committed comes back from its log."""
        self._control("-m", "immediate", "stop")

    def _control(self, *arguments: object) -> None:
        self._run("pg_ctl", "-D", self.folder / "data", "-w", "-t", START_TIMEOUT_S, *arguments)

    def _run(self, program: str, *arguments: object) -> None:
        """PostgreSQL refuses to run as root; its package made a user for it."""
        as_user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        subprocess.run([*as_user, str(self.programs / program), *map(str, arguments)], check=True, capture_output=True)


@contextmanager
def running_postgres(programs: Path, folder: Path, options: str = "") -> Iterator[PostgresServer]:
    """A server in an empty folder, until the end."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = PostgresServer(programs, folder, port, options)
    server.make()
    server.start()
    try:
        yield server
    finally:
        server.kill()
