"""What is taken of whoever asks: so many wrong tokens, and a body so large."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict, deque
from contextlib import suppress

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streamwatch.clock import Clock
from streamwatch.web.problems import Problem

MAX_BODY_BYTES = 5_000_000
"""A configuration file may have 4 MB."""
MAX_FAILURES, WITHIN_S = 10, 60.0
BODY_WITHIN_S = 15.0
"""The next part of a body: who gives none is let go."""
LINGER_S = 10.0
"""So long what is sent of a body that nobody reads is taken and dropped. To close before would take the answer away from who
still sends: what comes then is answered with a reset, and that discards what has not been read (RFC 9112, section 9.6)."""
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


class _Refused(Exception):
    """The body goes on and on, or does not come."""


class BodyLimit:
    """An app that neither reads more of a body than it has use for nor waits for one that does not come; 413 and 408."""

    def __init__(self, app: ASGIApp, max_bytes: int = MAX_BODY_BYTES) -> None:
        self._app, self._max_bytes = app, max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        told = headers.get(b"content-length", b"0")
        request = _Request(receive, send, self._max_bytes, has_body=told != b"0" or b"transfer-encoding" in headers)
        if told.isdigit() and int(told) > self._max_bytes:
            await _too_large(self._max_bytes).answer()(scope, receive, request.send)
            return
        with suppress(_Refused, ClientDisconnect):
            await self._app(scope, request.receive, request.send)
        if request.refusal and not request.began:
            refusal, request.refusal = request.refusal, None
            await refusal.answer()(scope, receive, request.send)


class _Request:
    """One request as it is read and answered."""

    def __init__(self, receive: Receive, send: Send, max_bytes: int, *, has_body: bool) -> None:
        self._receive, self._send, self._max_bytes = receive, send, max_bytes
        self._read, self._whole = 0, not has_body
        self.began = False
        self.refusal: Problem | None = None

    async def receive(self) -> Message:
        """The next part of its body; what comes behind it is waited for as long as it takes."""
        if self._whole:
            return await self._receive()
        try:
            message = await asyncio.wait_for(self._receive(), BODY_WITHIN_S)
        except TimeoutError:
            self.refusal = Problem(408, f"no more of the body came for {BODY_WITHIN_S:g} s", headers={"Connection": "close"})
            raise _Refused from None
        self._whole = not message.get("more_body", False)
        self._read += len(message.get("body", b""))
        if self._read > self._max_bytes:
            self.refusal = _too_large(self._max_bytes)
            raise _Refused
        return message

    async def send(self, message: Message) -> None:
        """A part of the answer; what the app makes of a body that broke off is nobody's."""
        if not self.began and self.refusal is not None:
            return
        self.began = True
        ends = message["type"] == "http.response.body" and not message.get("more_body", False)
        if ends and not self._whole:
            await self._send({**message, "more_body": True})
            await self._linger()
            message = {"type": "http.response.body"}
        await self._send(message)

    async def _linger(self) -> None:
        """Drop what still comes of the body."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                while (await self._receive()).get("more_body", False):
                    pass


def _too_large(max_bytes: int) -> Problem:
    return Problem(413, f"the body has more than {max_bytes // 10**6} MB", headers={"Connection": "close"})
