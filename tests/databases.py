"""Databases that the store must work with: SQLite, and a real PostgreSQL that is started here."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine

from streamwatch.store.sessions import open_database

OpenDatabase = Callable[[], Engine]
"""Opens the test's database: a new one at first, the same one again after that."""
START_TIMEOUT_S = 60


def _programs() -> Path | None:
    """Where PostgreSQL's server is: Debian keeps it out of the PATH."""
    found = shutil.which("initdb")
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return Path(found).parent if found else versions[-1].parent if versions else None


def _unprivileged(*command: object) -> list[str]:
    """PostgreSQL refuses to run as root; its package made a user for it."""
    return [*(["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []), *map(str, command)]


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a server without a database's name, on a loopback port that was free."""
    programs = _programs()
    if programs is None:
        pytest.skip("skipped: no PostgreSQL server on this machine (Debian package postgresql)")
    folder = tmp_path_factory.mktemp("postgres")
    if os.getuid() == 0:
        shutil.chown(folder, "postgres")
        for parent in folder.parents[:3]:
            with suppress(OSError):
                parent.chmod(parent.stat().st_mode | 0o011)  # pytest's folders are its user's alone
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    data = folder / "data"
    subprocess.run(
        _unprivileged(programs / "initdb", "-A", "trust", "-U", "streamwatch", "-D", data), check=True, capture_output=True
    )
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    control = (programs / "pg_ctl", "-D", data, "-w", "-t", START_TIMEOUT_S)
    subprocess.run(_unprivileged(*control, "-o", options, "-l", folder / "log", "start"), check=True, capture_output=True)
    yield f"postgresql+psycopg://streamwatch@127.0.0.1:{port}"
    subprocess.run(_unprivileged(*control, "-m", "immediate", "stop"), check=True, capture_output=True)


@pytest.fixture(params=["sqlite", "postgres"])
def new_database(request: pytest.FixtureRequest) -> str | None:
    """URL of a database of each kind, empty at first; None is SQLite's in the data directory."""
    if request.param == "sqlite":
        return None
    server = request.getfixturevalue("postgres")
    name = f"test_{os.getpid()}_{abs(hash(request.node.nodeid)):x}"
    admin = open_admin(server)
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    admin.dispose()
    return f"{server}/{name}"


@pytest.fixture
def open_store_database(new_database: str | None, tmp_path: Path) -> OpenDatabase:
    """Opens a database of each kind."""
    return lambda: open_database(new_database, tmp_path)


def open_admin(server: str) -> Engine:
    """A connection that may make databases: they are not made within a transaction."""
    return create_engine(f"{server}/postgres", isolation_level="AUTOCOMMIT")
