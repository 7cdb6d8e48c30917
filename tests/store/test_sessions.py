"""Opening a database that other processes have, or open at the same moment."""

from __future__ import annotations

import multiprocessing
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from sqlalchemy import MetaData

from streamwatch.errors import StoreError
from streamwatch.store.sessions import open_database

PROCESSES = 4
ROUNDS = 5
"""In the first, imports still set the processes apart."""
WITHIN_S = 60.0
AT_ONCE_S = 4.0
"""Less than the five seconds for which SQLite waits for a lock."""


def open_with_others(url: str | None, folder: Path, ready: Barrier, outcomes: Queue[str]) -> None:
    for _ in range(ROUNDS):
        ready.wait(WITHIN_S)
        try:
            open_database(url, folder).dispose()
            outcomes.put("opened")
        except StoreError as error:
            outcomes.put(str(error))


def empty(url: str | None, folder: Path) -> None:
    """Make the database new again."""
    engine = open_database(url, folder)
    tables = MetaData()
    tables.reflect(engine)
    tables.drop_all(engine)
    engine.dispose()


def test_processes_that_start_together_migrate_one_after_the_other(new_database: str | None, tmp_path: Path) -> None:
    """As the shards of a site do, and a daemon and its sender."""
    context = multiprocessing.get_context("spawn")
    ready, outcomes = context.Barrier(PROCESSES + 1), context.Queue()
    arguments = (new_database, tmp_path, ready, outcomes)
    processes = [context.Process(target=open_with_others, args=arguments, daemon=True) for _ in range(PROCESSES)]
    for process in processes:
        process.start()
    for _ in range(ROUNDS):
        ready.wait(WITHIN_S)
        assert [outcomes.get(timeout=WITHIN_S) for _ in processes] == ["opened"] * PROCESSES
        empty(new_database, tmp_path)
    for process in processes:
        process.join(WITHIN_S)
        assert process.exitcode == 0


def test_a_new_file_that_another_process_is_writing_is_waited_for(tmp_path: Path) -> None:
    """Before it is in WAL mode, SQLite refuses at once to change to it."""
    writing = sqlite3.connect(tmp_path / "events.db", isolation_level=None)
    writing.execute("BEGIN IMMEDIATE")
    with ThreadPoolExecutor(1) as pool:
        opening = pool.submit(open_database, None, tmp_path)
        with pytest.raises(TimeoutError):
            opening.result(timeout=0.3)
        writing.execute("ROLLBACK")
        opening.result(timeout=WITHIN_S).dispose()
    writing.close()


def test_who_only_asks_does_not_wait_for_who_writes(new_database: str | None, tmp_path: Path) -> None:
    writing = open_database(new_database, tmp_path)
    with writing.connect() as connection:
        lock = "BEGIN IMMEDIATE" if new_database is None else "LOCK TABLE events IN EXCLUSIVE MODE"
        connection.exec_driver_sql(lock)
        began_s = time.monotonic()
        open_database(new_database, tmp_path).dispose()
        assert time.monotonic() - began_s < AT_ONCE_S
    writing.dispose()
