"""Tells the other processes of a site what this one watches, and where it is asked."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.engine import make_url

from streamwatch.clock import Clock
from streamwatch.config.addresses import is_anywhere, is_loopback
from streamwatch.config.schema import Config
from streamwatch.errors import StoreError
from streamwatch.retry import caught
from streamwatch.store.processes.reports import ProcessReport, forget_old, remove_report, write_report
from streamwatch.threads import ThreadGuard

log = logging.getLogger(__name__)
TOLD_EVERY_S = 4.0
"""As old as what the other processes' pages show of this one's cameras is, at most, and a second more."""
STOP_S = 5.0
_SOME_PORT = 5432
"""To ask which of our addresses leads to a host; nothing is sent."""


class Registration:
    """Writes the process's report again and again; a database that refuses is tried again.

    Args:
        process: who this is.
        report: what it watches now.
        on_told: done after each time.
    """

    def __init__(
        self,
        engine: Engine,
        process: ProcessReport,
        report: Callable[[], Mapping[str, Any]],
        clock: Clock,
        on_told: Callable[[], None] = lambda: None,
    ) -> None:
        self._engine, self._process, self._report, self._clock = engine, process, report, clock
        self._on_told = on_told
        self._refused = False
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, guard: ThreadGuard) -> None:
        """Begin to tell."""
        self._thread = guard.start("registration", self._keep, self._stop)

    def stop(self) -> None:
        """Tell no more, and that this process ends."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(STOP_S)  # one that hangs in the database is left behind

    def run_once(self) -> None:
        """Tell once; raises StoreError."""
        write_report(self._engine, replace(self._process, report=self._report()), self._clock)
        self._on_told()

    def _keep(self) -> None:
        if failure := caught(lambda: forget_old(self._engine, self._clock)):
            log.debug("%s", failure)
        while not self._stop.is_set():
            self._try()
            self._clock.wait(self._stop, TOLD_EVERY_S)
        try:
            remove_report(self._engine, self._process.name)
        except StoreError as error:
            log.warning("%s: the others of this site hear so within seconds", error)

    def _try(self) -> None:
        try:
            self.run_once()
        except StoreError as error:
            log.log(logging.DEBUG if self._refused else logging.WARNING, "%s", error)
            self._refused = True
        else:
            self._refused = False


def reached_at(config: Config, port: int) -> str:
    """The URL at which other processes of the site reach this one's listener.

    Where it listens on all addresses, that is the one which leads to the database that all of them reach.

    Args:
        port: that it listens on.
    """
    if config.web.peer_url:
        return config.web.peer_url.rstrip("/")
    host = (config.web.listen or "").rpartition(":")[0].strip("[]")
    if is_anywhere(host):
        host = _address_towards(config, socket.AF_UNSPEC if ":" in host else socket.AF_INET)
    return f"{'https' if config.web.tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


def _address_towards(config: Config, family: int) -> str:
    """This machine's own address, of the kind that is listened on, on the way to the database; a file is on this machine."""
    url = make_url(config.database.get_secret_value()) if config.database else None
    host = url.host if url else None
    if not url or not host or is_loopback(host) or host.startswith("/"):
        return "127.0.0.1"
    try:
        found = socket.getaddrinfo(host, url.port or _SOME_PORT, family=family, type=socket.SOCK_DGRAM)
        kind, _, protocol, _, address = found[0]
        with socket.socket(kind, socket.SOCK_DGRAM, protocol) as asking:
            asking.connect(address)
            return str(asking.getsockname()[0])
    except OSError:
        return socket.gethostname()
