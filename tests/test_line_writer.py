"""Output that nobody reads, reads slowly, or stops reading: nobody waits for it, and what is dropped is counted."""

from __future__ import annotations

import io
import logging
import os
import threading
import time

from streamwatch.line_writer import LineHandler, LineWriter, writing_to

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
