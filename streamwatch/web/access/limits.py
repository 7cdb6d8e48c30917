"""What is taken of whoever asks: so many wrong tokens, and a body so large."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from contextlib import suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streamwatch.clock import Clock
from streamwatch.web.problems import Problem

MAX_BODY_BYTES = 5_000_000
"""A configuration file may have 4 MB."""
MAX_FAILURES, WITHIN_S = 10, 60.0
MAX_ADDRESSES = 10_000


class FailureLimiter:
    """Counts wrong tokens by address; who sent too many is not listened to for a while."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_s(self, address: str) -> float:
        """Seconds until the address is listened to again; 0 if it is."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            known = self._failures.get(address)
            while known and now_s - known[0] > WITHIN_S:
                known.popleft()
            return WITHIN_S - (now_s - known[0]) if known and len(known) >= MAX_FAILURES else 0.0

    def record(self, address: str) -> None:
        """The address sent a wrong one."""
        with self._lock:
            self._failures.setdefault(address, deque(maxlen=MAX_FAILURES)).append(self._clock.monotonic_s())
            self._failures.move_to_end(address)
            if len(self._failures) > MAX_ADDRESSES:
                self._failures.popitem(last=False)


class _TooLarge(Exception):
    """The body goes on and on."""


class BodyLimit:
    """An app that reads no more of a body than it has use for; 413 for what is larger."""

    def __init__(self, app: ASGIApp, max_bytes: int = MAX_BODY_BYTES) -> None:
        self._app, self._max_bytes = app, max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        read, began = 0, False

        async def limited() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._max_bytes:
                raise _TooLarge
            return message

        async def noted(message: Message) -> None:
            nonlocal began
            if began or read <= self._max_bytes:  # what the app makes of a body that broke off is nobody's answer
                began = True
                await send(message)

        problem = Problem(413, f"the body has more than {self._max_bytes // 10**6} MB", headers={"Connection": "close"})
        told = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if told.isdigit() and int(told) > self._max_bytes:
            await problem.answer()(scope, receive, send)
            return
        with suppress(_TooLarge):
            await self._app(scope, limited, noted)
        if read > self._max_bytes and not began:
            await problem.answer()(scope, receive, send)
