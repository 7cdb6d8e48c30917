"""Reading ahead: order kept, errors carried, threads ended."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from streamwatch.errors import SourceError
from streamwatch.inference.offline import batched, read_ahead


def test_order_is_kept_and_none_is_lost() -> None:
    assert list(read_ahead(range(1000), depth=3)) == list(range(1000))


def test_an_error_arrives_after_what_came_before_it() -> None:
    def items() -> Iterator[int]:
        yield from range(5)
        raise SourceError("broken")

    seen: list[int] = []
    with pytest.raises(SourceError, match="broken"):
        seen.extend(read_ahead(items()))
    assert seen == list(range(5))


def test_closing_it_ends_the_thread() -> None:
    before = threading.active_count()
    reading = read_ahead(range(10**9), depth=2)
    assert next(reading) == 0
    reading.close()
    assert threading.active_count() == before


def test_batches_are_full_but_for_the_last() -> None:
    assert list(batched(range(7), 3)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(batched([], 3)) == []
