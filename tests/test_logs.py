"""Log lines: for people on a terminal, JSON elsewhere, found again by camera and event."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from streamwatch.logs import about, set_up_logging
from tests.store.test_event_store import event


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def set_up(stream: io.StringIO) -> None:
    logging.getLogger().handlers[:] = []  # pytest's own
    set_up_logging(logging.INFO, stream)


def test_a_program_reads_one_document_a_line() -> None:
    stream = io.StringIO()
    set_up(stream)
    happened = event()
    logging.getLogger("streamwatch.x").warning("event %s of %s", happened.id, "cam", extra=about(happened))
    logging.getLogger("streamwatch.x").debug("not this")
    logging.getLogger("httpx").info("nor this")
    (line,) = stream.getvalue().splitlines()
    document = json.loads(line)
    assert document["event"] == f"event {happened.id} of cam"
    assert (document["level"], document["logger"]) == ("warning", "streamwatch.x")
    assert (document["camera"], document["event_id"]) == ("cam", happened.id)
    assert document["timestamp"].endswith("Z")


def test_an_exception_is_one_line_for_programs() -> None:
    stream = io.StringIO()
    set_up(stream)
    logging.getLogger("streamwatch").error("failed", exc_info=ValueError("why"))
    (line,) = stream.getvalue().splitlines()
    assert "ValueError: why" in json.loads(line)["exception"]


def test_people_read_a_sentence() -> None:
    stream = Terminal()
    set_up(stream)
    logging.getLogger("streamwatch.x").info("camera dock: finished", extra={"camera": "dock"})
    text = stream.getvalue()
    assert "camera dock: finished" in text
    assert "camera=" not in text
