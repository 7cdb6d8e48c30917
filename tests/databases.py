"""Databases that the store must work with: SQLite, and a real PostgreSQL that is started here."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine

from streamwatch.store.sessions import open_database
from tools.postgres import running_postgres, server_programs

OpenDatabase = Callable[[], Engine]
"""Opens the test's database: a new one at first, the same one again after that."""


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a server without a database's name, on a loopback port that was free."""
    programs = server_programs()
    if programs is None:
        pytest.skip("skipped: no PostgreSQL server on this machine (Debian package postgresql)")
    with running_postgres(programs, tmp_path_factory.mktemp("postgres"), "-c fsync=off") as server:
        yield server.url


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
