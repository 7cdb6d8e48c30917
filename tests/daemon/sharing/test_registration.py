"""A process tells the others of its site what it watches, where it is asked, and that it ends."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from streamwatch.config.schema import Config
from streamwatch.daemon.config_file import WholeFile
from streamwatch.daemon.sharing.registration import Registration, reached_at
from streamwatch.store.processes.reports import ProcessReport, living
from streamwatch.store.sessions import open_database
from streamwatch.threads import ThreadGuard
from tests.test_retry import FakeClock

NORTH = ProcessReport("north", "0/2", "watch-1", None, "1.0.0", 5.0, {})


def config_of(**keys: Any) -> Config:
    return Config.model_validate({"version": 1, "cameras": {"yard": {"source": "rtsp://127.0.0.1/yard"}}, **keys})


def test_it_tells_until_it_ends(tmp_path: Path) -> None:
    engine, clock, told, counted = open_database(None, tmp_path), FakeClock(), threading.Event(), list[None]()

    def report() -> Mapping[str, Any]:
        if counted:
            told.set()
        return {"cameras": [{"name": "yard"}]}

    registration = Registration(engine, NORTH, report, clock, lambda: counted.append(None))
    registration.start(ThreadGuard(clock))
    assert told.wait(10)
    assert [one.report for one in living(engine, clock)] == [{"cameras": [{"name": "yard"}]}]
    registration.stop()
    assert living(engine, clock) == []
    engine.dispose()


def test_a_database_that_refuses_is_told_of_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    engine, clock, tried = open_database(None, tmp_path), FakeClock(), threading.Semaphore(0)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE processes")

    def report() -> Mapping[str, Any]:
        tried.release()
        return {}

    registration = Registration(engine, NORTH, report, clock)
    with caplog.at_level(logging.WARNING):
        registration.start(ThreadGuard(clock))
        for _ in range(3):
            assert tried.acquire(timeout=10)
        registration.stop()
    said = [record.message for record in caplog.records]
    assert [line for line in said if "what this process watches" in line] == said[:1]
    engine.dispose()


@pytest.mark.parametrize(
    ("keys", "address"),
    [
        ({"web": {"listen": "127.0.0.1:0"}}, "http://127.0.0.1:8000"),
        ({"web": {"listen": "10.0.0.7:8466"}}, "http://10.0.0.7:8000"),
        ({"web": {"listen": "[2001:db8::7]:8466"}}, "http://[2001:db8::7]:8000"),
        ({"web": {"listen": "0.0.0.0:8466"}}, "http://127.0.0.1:8000"),
        ({"web": {"listen": "0.0.0.0:8466"}, "database": "postgresql+psycopg://db@localhost/x"}, "http://127.0.0.1:8000"),
        ({"web": {"listen": "0.0.0.0:8466", "peer_url": "https://watch-1.example"}}, "https://watch-1.example"),
    ],
)
def test_where_it_is_asked(keys: dict[str, Any], address: str) -> None:
    assert reached_at(config_of(**keys), 8000) == address


def test_the_address_that_leads_to_the_database_is_asked_of_the_system() -> None:
    web, database = {"listen": "0.0.0.0:8466"}, "postgresql+psycopg://db@203.0.113.1/x"
    address = reached_at(config_of(web=web, database=database), 8000)  # no packet is sent
    assert address.startswith("http://")
    assert address != "http://0.0.0.0:8000"


def test_a_file_that_cannot_be_used_changes_nothing(tmp_path: Path) -> None:
    path, known = tmp_path / "site.yaml", config_of()
    whole = WholeFile(path, known)
    assert whole.read() is known
    path.write_text('{"version": 1, "cameras": {"gate": {"source": "rtsp://127.0.0.1/gate"}}}')
    assert list(whole.read().cameras) == ["gate"]
    path.write_text("version: [")
    assert list(whole.read().cameras) == ["gate"]
