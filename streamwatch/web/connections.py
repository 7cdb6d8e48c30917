"""What a listener takes from whoever connects: so many connections at once, and a request soon or none."""

from __future__ import annotations

import asyncio
import socket
from typing import Any, cast

from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_CONNECTIONS = 128
"""Of 1,024 descriptors, which is what a process has by default: cameras, the database and receivers need the others."""
FIRST_REQUEST_WITHIN_S = 10.0
TAKEN_WITHIN_S = 30.0
SEND_BUFFER_BYTES = 200_000
"""Of each connection, in the kernel, which would take megabytes: so much is made for a client that reads nothing."""


class BoundedProtocol(H11Protocol):
    """HTTP/1.1 that gives up connections that are too many, or that ask for nothing."""

    _first: asyncio.TimerHandle | None = None
    _untaken: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Take the connection, or break it off."""
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            transport.abort()
        else:
            self._first = self.loop.call_later(FIRST_REQUEST_WITHIN_S, self._give_up)
            taken: socket.socket | None = transport.get_extra_info("socket")
            if taken is not None:
                taken.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        for timer in (self._first, self._untaken):
            if timer:
                timer.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The one who asked takes nothing more for now; not for long, or the connection is broken off."""
        super().pause_writing()
        self._untaken = self.loop.call_later(TAKEN_WITHIN_S, self.transport.abort)

    def resume_writing(self) -> None:
        """It is taken again."""
        super().resume_writing()
        if self._untaken:
            self._untaken.cancel()

    def _give_up(self) -> None:
        """A request that is not whole by now, because its headers trickle, is none; what follows the first is uvicorn's."""
        if cast("object | None", self.cycle) is None:  # the library says that it is never None, and begins with None
            self.transport.abort()
