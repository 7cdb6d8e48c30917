"""Lines for a stream that may be slow, blocked or closed: written by a thread of their own, and never waited for.

Whoever reads a daemon's output may stop reading. Then lines wait within a bound, and beyond it are dropped and counted.
"""

from __future__ import annotations

import errno
import io
import os
import threading
from collections import deque
from collections.abc import Callable
from typing import TextIO

MAX_WAITING_BYTES = 4 * 2**20
PAUSE_S = 1.0
"""After a line that the stream refused."""
WriteSome = Callable[[bytes], int]
"""Writes at least one byte and says how many; raises OSError."""


class LineWriter:
    """Writes lines in the order in which they come.

    Args:
        name: of its thread.
    """

    def __init__(self, name: str, write: WriteSome, *, max_waiting_bytes: int = MAX_WAITING_BYTES) -> None:
        self._write, self._limit = write, max_waiting_bytes
        self._lines: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._changed = threading.Condition()
        self._closed = False
        self._broken = False
        self.dropped = 0
        self._pause = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def write(self, line: str) -> None:
        """Have a line written, without its newline; returns at once, and drops it if too much waits."""
        content = f"{line}\n".encode(errors="backslashreplace")
        with self._changed:
            if self._closed or self._broken or self._waiting_bytes + len(content) > self._limit:
                self.dropped += 1
                return
            self._lines.append(content)
            self._waiting_bytes += len(content)
            self._changed.notify_all()

    def close(self, timeout_s: float) -> bool:
        """Write what waits, for so long; whether all of it was."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._pause.set()
        self._thread.join(timeout_s)
        return not self._thread.is_alive() and not self._broken

    def _run(self) -> None:
        while (line := self._next()) is not None:
            try:
                self._write_whole(line)
            except ValueError:  # the stream is closed
                self._break_off()
                return
            except OSError as error:
                if error.errno in (errno.EPIPE, errno.EBADF):  # the reader left: nobody will read the rest
                    self._break_off()
                    return
                self.dropped += 1  # a full disk, say, which may have room again
                self._pause.wait(PAUSE_S)

    def _next(self) -> bytes | None:
        with self._changed:
            self._changed.wait_for(lambda: self._lines or self._closed)
            if not self._lines:
                return None
            line = self._lines.popleft()
            self._waiting_bytes -= len(line)
            return line

    def _write_whole(self, line: bytes) -> None:
        rest = memoryview(line)
        while rest:
            rest = rest[self._write(bytes(rest)) :]

    def _break_off(self) -> None:
        with self._changed:
            self._broken = True
            self.dropped += 1 + len(self._lines)
            self._lines.clear()


def writing_to(stream: TextIO) -> WriteSome:
    """What writes to a stream: to its descriptor if it has one.

    The stream's own buffer has a lock, and a thread that is blocked while it holds that aborts the interpreter's exit.
    """
    try:
        descriptor = stream.fileno()
    except (io.UnsupportedOperation, ValueError):

        def write(content: bytes) -> int:
            stream.write(content.decode())
            stream.flush()
            return len(content)

        return write
    stream.flush()
    return lambda content: os.write(descriptor, content)
