"""Listeners: idle connections are given up, too many broken off, names that lead here from elsewhere not answered."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from functools import partial

import httpx
import pytest
from fastapi import FastAPI

from streamwatch.clock import SystemClock
from streamwatch.config.addresses import is_loopback
from streamwatch.errors import ListenError
from streamwatch.threads import ThreadGuard
from streamwatch.web import connections
from streamwatch.web.hosts import answers_to, own_names
from streamwatch.web.server import WebServer

app = FastAPI()


@app.get("/")
def here() -> str:
    return "here"


@pytest.fixture
def server() -> Iterator[WebServer]:
    made = WebServer(app, "127.0.0.1:0", partial(own_names, lambda: "https://cameras.example.org/streamwatch"))
    made.start(ThreadGuard(SystemClock()))
    yield made
    made.stop()


def test_idle_connections_are_bounded_and_others_are_answered(server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "FIRST_REQUEST_WITHIN_S", 1.0)
    with ExitStack() as stack:
        idle = [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            for _ in range(connections.MAX_CONNECTIONS + 40)
        ]
        idle[0].sendall(b"GET / HTTP/1.1\r\nx-a: ")  # headers that never end
        for number, connection in enumerate(idle):
            connection.settimeout(10)
            with suppress(ConnectionResetError):
                assert connection.recv(10) == b"", number
        until_s = time.monotonic() + 10
        answer = None
        while answer is None and time.monotonic() < until_s:
            try:
                answer = httpx.get(f"http://127.0.0.1:{server.port}/", trust_env=False)
            except httpx.HTTPError:
                time.sleep(0.05)
        assert answer
        assert answer.json() == "here"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:1", 200), ("localhost", 200), ("[::1]:80", 200), ("192.168.1.4", 200), ("cameras.example.org", 200),
        ("evil.example.com", 421), ("127.0.0.1.example.com", 421), ("localhost.example.com", 421), ("", 421), ("[::", 421),
    ],
)  # fmt: skip
def test_a_listener_of_this_machine_answers_to_no_name_that_leads_here(server: WebServer, host: str, status: int) -> None:
    answer = httpx.get(f"http://127.0.0.1:{server.port}/", headers={"host": host}, trust_env=False)
    assert answer.status_code == status


def test_what_is_of_this_machine_alone() -> None:
    assert all(is_loopback(host) for host in ("127.0.0.1", "127.8.0.1", "::1", "[::1]", "localhost"))
    assert not any(is_loopback(host) for host in ("0.0.0.0", "::", "192.168.1.4", "example.org", ""))
    assert not answers_to("example.org", {"cameras.example.org"})


def test_a_port_that_is_taken_is_said_and_nothing_is_left(server: WebServer) -> None:
    with pytest.raises(ListenError, match=rf"127.0.0.1:{server.port}: cannot listen"):
        WebServer(app, f"127.0.0.1:{server.port}")


def test_a_listener_that_never_served_can_be_stopped() -> None:
    WebServer(app, "127.0.0.1:0").stop()
