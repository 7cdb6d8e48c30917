"""What the daemon does on signals."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def starting() -> Iterator[threading.Event]:
    """SIGHUP ends nothing while a daemon starts; whether one came, for the daemon to read its configuration again."""
    asked = threading.Event()
    before = signal.signal(signal.SIGHUP, lambda *_: asked.set())
    try:
        yield asked
    finally:
        signal.signal(signal.SIGHUP, before)


@contextmanager
def handling_signals(stop: threading.Event, reload: Callable[[], None]) -> Iterator[None]:
    """Stop on SIGTERM and SIGINT, a second one exits at once; read the configuration again on SIGHUP."""

    def handle_stop(number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    def handle_reload(_number: int, _frame: FrameType | None) -> None:
        reload()

    handlers = {signal.SIGTERM: handle_stop, signal.SIGINT: handle_stop, signal.SIGHUP: handle_reload}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
