"""A receiver on a loopback port that answers as it is told, and notes what reached it."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Received:
    """One request."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    at_s: float

    @property
    def message_id(self) -> str:
        """What it was called."""
        return self.headers["webhook-id"]

    @property
    def event(self) -> dict[str, Any]:
        """The CloudEvent."""
        document: dict[str, Any] = json.loads(self.body)
        return document


Answer = Callable[[BaseHTTPRequestHandler], None]


def status(code: int, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Answer:
    """An ordinary answer."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in {"content-length": str(len(body)), **(headers or {})}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def reset(handler: BaseHTTPRequestHandler) -> None:
    """The connection is reset after the body came."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.close_connection = True
    handler.connection.close()


def garbage(handler: BaseHTTPRequestHandler) -> None:
    """Something that is no HTTP."""
    handler.wfile.write(b"\x00\xffnonsense\r\n\r\n")
    handler.close_connection = True


def silence(seconds: float) -> Answer:
    """No answer for so long."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(seconds)
        handler.close_connection = True

    return answer


def trickle(handler: BaseHTTPRequestHandler) -> None:
    """200 at once, and a body that takes for ever."""
    handler.send_response(200)
    handler.send_header("content-length", "1000000")
    handler.end_headers()
    for _ in range(100):
        try:
            handler.wfile.write(b"x")
            handler.wfile.flush()
        except OSError:
            return
        time.sleep(0.05)


def trickle_headers(handler: BaseHTTPRequestHandler) -> None:
    """A header that never ends, a byte at a time: each is sooner than any time-out of a read."""
    handler.send_response(200)
    handler.flush_headers()
    handler.close_connection = True
    for _ in range(400):
        try:
            handler.wfile.write(b"x")
            handler.wfile.flush()
        except OSError:
            return
        time.sleep(0.05)


@dataclass
class Receiver:
    """What was received; ``answers`` are used up one by one, then it is 200."""

    url: str = ""
    received: list[Received] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    default: Answer = field(default_factory=lambda: status(200))
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, handler: BaseHTTPRequestHandler) -> None:
        """Note a request, and answer it."""
        length = int(handler.headers.get("content-length", 0))
        body = handler.rfile.read(length)
        if len(body) < length:  # its sender died
            handler.close_connection = True
            return
        headers = {name.lower(): value for name, value in handler.headers.items()}
        with self.lock:
            self.received.append(Received(handler.path, headers, body, time.monotonic()))
            answer = self.answers.pop(0) if self.answers else self.default
        answer(handler)


@contextmanager
def running_receiver(port: int = 0) -> Iterator[Receiver]:
    """A receiver that listens."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            receiver.take(self)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the base class
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        request_queue_size = 128

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A sender that was killed is no error."""

    server = Server(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
