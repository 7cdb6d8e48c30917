"""Output that nobody reads, reads slowly, or stops reading: nobody waits for it, and what is dropped is counted."""

from __future__ import annotations

import errno
import io
import logging
import os
import threading
import time

import pytest

from streamwatch.logs import LineHandler, line_writer
from streamwatch.logs.line_writer import LineWriter, writing_to

WITHIN_S = 20.0


def test_lines_are_written_whole_and_in_order_though_the_stream_takes_one_byte_at_a_time() -> None:
    taken = bytearray()

    def one_byte(content: bytes) -> int:
        taken.extend(content[:1])
        return 1

    lines = LineWriter("test", one_byte)
    expected = [f"line {number} ä \ud800" for number in range(50)]
    for line in expected:
        lines.write(line)
    assert lines.close(WITHIN_S)
    assert bytes(taken).decode().splitlines() == [line.replace("\ud800", "\\ud800") for line in expected]
    assert lines.dropped == 0


def test_a_full_pipe_that_nobody_reads_is_waited_for_by_nobody() -> None:
    reading, writing = os.pipe()
    lines = LineWriter("test", lambda content: os.write(writing, content), max_waiting_bytes=100_000)
    began_s = time.monotonic()
    for _ in range(1000):
        lines.write("x" * 999)
    assert time.monotonic() - began_s < WITHIN_S / 4
    assert lines.dropped >= 1000 - (100_000 + 65_536 + 1000) / 1000
    assert not lines.close(0.05)
    os.set_blocking(reading, False)
    kept = 0
    until_s = time.monotonic() + WITHIN_S
    while kept < 1000 * (1000 - lines.dropped) and time.monotonic() < until_s:
        try:
            kept += len(os.read(reading, 2**20))
        except BlockingIOError:
            threading.Event().wait(0.005)
    assert kept == 1000 * (1000 - lines.dropped), "and read again, what waited comes whole"
    os.close(reading)
    os.close(writing)


def test_a_reader_that_left_costs_lines_alone() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    lines = LineWriter("test", lambda content: os.write(writing, content))
    for _ in range(10):
        lines.write("nobody reads")
    assert not lines.close(WITHIN_S)
    lines.write("after the end")
    assert lines.dropped == 11
    os.close(writing)


def test_a_stream_without_a_descriptor_is_written_to_as_it_is() -> None:
    stream = io.StringIO()
    lines = LineWriter("test", writing_to(stream))
    handler = LineHandler(lines)
    handler.emit(logging.LogRecord("a", logging.INFO, "", 1, "to %s", ("people",), None))
    assert lines.close(WITHIN_S)
    assert stream.getvalue() == "to people\n"


def test_a_disk_that_was_full_for_a_moment_costs_a_line_and_not_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_writer, "PAUSE_S", 0.01)
    taken, refusals = bytearray(), iter([OSError(errno.ENOSPC, "full"), BlockingIOError(errno.EAGAIN, "again")])

    def write(content: bytes) -> int:
        for refusal in refusals:
            raise refusal
        taken.extend(content)
        return len(content)

    lines = LineWriter("test", write)
    for number in range(5):
        lines.write(str(number))
    assert lines.close(WITHIN_S)
    assert taken.split() == [b"2", b"3", b"4"]
    assert lines.dropped == 2


def test_a_line_that_cannot_be_formatted_raises_nothing() -> None:
    stream = io.StringIO()
    lines = LineWriter("test", writing_to(stream))
    LineHandler(lines).handle(logging.LogRecord("a", logging.INFO, "", 1, "%d of %d", ("x",), None))
    assert lines.close(WITHIN_S)
    assert "cannot be formatted" in stream.getvalue()
