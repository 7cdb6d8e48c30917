"""How log lines look: for people on a terminal, one JSON document a line elsewhere; one for a change of state, none per frame.

Modules log with the standard library and name what a line is about (``extra={"camera": ..., "event_id": ...}``), so that lines
are found again by camera and by event; structlog renders them.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

import structlog

from streamwatch.logs.line_writer import LineWriter, writing_to
from streamwatch.masking import mask_credentials
from streamwatch.records import Event
from streamwatch.retry import caught

CLOSE_S = 2.0
NOISY = ("alembic", "asyncio", "uvicorn", "httpx", "httpcore", "PIL")


def set_up_logging(level: int, stream: TextIO | None = None) -> None:
    """Send all log lines to ``stream``, standard error by default, unless logging is set up already."""
    target = stream or sys.stderr
    handler = logging.StreamHandler(target)
    handler.setFormatter(_formatter(for_people=target.isatty()))
    logging.basicConfig(level=level, handlers=[handler])
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("libav").setLevel(logging.CRITICAL)  # video/streams/live.py reads what FFmpeg says, and counts it


class LineHandler(logging.Handler):
    """A logging handler that waits for nobody."""

    def __init__(self, lines: LineWriter) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        """Format the record, and have it written; one that cannot be formatted is said as it is, and raises nothing."""
        if caught(lambda: self._lines.write(self.format(record))) is not None:
            self._lines.write(f"a log line of {record.name} that cannot be formatted: {record.msg!r}")


@contextmanager
def written_behind() -> Iterator[LineWriter]:
    """Meanwhile nobody waits for a log line to be written, by a thread of its own; what is too much is dropped and counted."""
    root = logging.getLogger()
    before = [handler for handler in root.handlers if type(handler) is logging.StreamHandler]
    target = before[0].stream if before else sys.stderr
    lines = LineWriter("log", writing_to(target))
    handler = LineHandler(lines)
    handler.setFormatter(_formatter(for_people=target.isatty()))
    for other in before:
        root.removeHandler(other)
    root.addHandler(handler)
    try:
        yield lines
    finally:
        if lines.close(CLOSE_S):  # else a later line would wait for who reads nothing
            root.removeHandler(handler)
            for other in before:
                root.addHandler(other)


def set_level(level: str) -> None:
    """Log from this level on, by its name in the configuration: what is ours, not what libraries say."""
    logging.getLogger("streamwatch").setLevel(level.upper())


def about(event: Event) -> dict[str, str]:
    """What a line that tells of an event is found by: ``log.warning(..., extra=about(event))``."""
    return {"camera": event.camera, "event_id": event.id}


def _formatter(*, for_people: bool) -> logging.Formatter:
    shared: list[structlog.types.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=not for_people),
    ]
    last: list[structlog.types.Processor] = (
        [_only_the_message, structlog.dev.ConsoleRenderer()]
        if for_people
        else [structlog.processors.format_exc_info, _without_secrets, structlog.processors.JSONRenderer()]
    )
    return (_MaskingFormatter if for_people else structlog.stdlib.ProcessorFormatter)(
        foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
    )


def _without_secrets(_: object, _name: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    """Each value by itself, before it is JSON: of JSON as a whole a URL would end at the wrong quotation mark."""
    return {key: mask_credentials(value) if isinstance(value, str) else value for key, value in event.items()}


class _MaskingFormatter(structlog.stdlib.ProcessorFormatter):
    """Shows no secret: a line may quote what a library says, and a library quotes whole URLs."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        return mask_credentials(super().format(record))


def _only_the_message(_: object, _name: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    """What a line is about stands in its text already; people need it once."""
    kept = {"event", "level", "timestamp", "exc_info", "exception"}
    return {key: value for key, value in event.items() if key in kept}
