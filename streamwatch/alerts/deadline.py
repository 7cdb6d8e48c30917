"""HTTP attempts that end by a deadline, whatever the receiver does.

The client's time-outs are of one read each: a receiver that sends a byte of a header now and then is waited for without end.
Here a thread's reads, writes and connections together may take no longer than it says before it begins.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import httpcore
import httpx

from streamwatch.clock import Clock

KEEPALIVE_S = 5.0
"""Longer unused, a connection may have been forgotten on the way, and what is sent on it is heard of by nobody."""


class Deadline:
    """Of the calling thread: until when its attempt may last."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._of_thread = clock, threading.local()

    @contextmanager
    def within(self, timeout_s: float) -> Iterator[None]:
        """What the thread does meanwhile ends in so many seconds."""
        self._of_thread.until_s = self._clock.monotonic_s() + timeout_s
        try:
            yield
        finally:
            del self._of_thread.until_s

    def left_s(self, timeout_s: float | None) -> float | None:
        """The shorter of a time-out and what is left; None for no limit at all."""
        until_s: float | None = getattr(self._of_thread, "until_s", None)
        if until_s is None:
            return timeout_s
        left_s = max(until_s - self._clock.monotonic_s(), 0.0)
        return left_s if timeout_s is None else min(left_s, timeout_s)


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._stream, self._deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        left_s = self._deadline.left_s(timeout)
        if left_s is not None and left_s <= 0:
            raise httpcore.ReadTimeout("the attempt has taken too long")
        return self._stream.read(max_bytes, left_s)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        left_s = self._deadline.left_s(timeout)
        if left_s is not None and left_s <= 0:
            raise httpcore.WriteTimeout("the attempt has taken too long")
        self._stream.write(buffer, left_s)

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, self._deadline.left_s(timeout)), self._deadline)

    def get_extra_info(self, info: str) -> object:
        return self._stream.get_extra_info(info)


class _Backend(httpcore.NetworkBackend):
    """The library's network, its streams under the deadline."""

    def __init__(self, deadline: Deadline) -> None:
        self._sync, self._deadline = httpcore.SyncBackend(), deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        left_s = self._deadline.left_s(timeout)
        return _Stream(self._sync.connect_tcp(host, port, left_s, local_address, socket_options), self._deadline)


class DeadlineTransport(httpx.HTTPTransport):
    """The client's transport under a deadline; keeps as many connections as there may be."""

    def __init__(self, deadline: Deadline, connections: int) -> None:
        super().__init__(trust_env=False)
        self._pool.close()
        self._pool = httpcore.ConnectionPool(
            ssl_context=httpx.create_ssl_context(trust_env=False),
            max_connections=connections,
            max_keepalive_connections=connections,
            keepalive_expiry=KEEPALIVE_S,
            network_backend=_Backend(deadline),
        )
