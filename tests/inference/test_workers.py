"""Parts of a batch side by side: all rows once, in order, and a fault of one is told."""

from __future__ import annotations

import threading

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from streamwatch.inference.workers import Workers, workers_for
from streamwatch.threads import usable_cores


@given(rows=st.lists(st.integers(0, 99), max_size=40), count=st.integers(1, 5), multiple=st.sampled_from([1, 8]))
def test_every_row_is_in_one_part_and_parts_are_even(rows: list[int], count: int, multiple: int) -> None:
    parts = Workers(count).split(rows, multiple=multiple)
    assert [row for part in parts for row in part] == rows
    assert len(parts) <= count
    assert all(len(part) % multiple == 0 for part in parts[:-1])


def test_parts_run_side_by_side_and_come_back_in_order() -> None:
    both = threading.Barrier(2, timeout=10)

    def work(part: list[int]) -> tuple[int, int]:
        both.wait()  # passes only if two are at work
        return part[0], torch.get_num_threads()

    assert Workers(2).map(work, [[1], [2]]) == [(1, 1), (2, 1)]


def test_a_lone_part_runs_with_one_thread_too_whatever_the_caller_has() -> None:
    torch.ones(8, 8) @ torch.ones(8, 8)  # this thread has its own by now
    assert Workers(2).map(lambda _part: torch.get_num_threads(), [[1]]) == [1]


def test_a_fault_of_a_part_is_raised_when_the_others_are_done() -> None:
    done = list[int]()

    def work(part: list[int]) -> None:
        if part == [1]:
            raise RuntimeError("the device failed")
        done.append(part[0])

    with pytest.raises(RuntimeError, match="the device failed"):
        Workers(2).map(work, [[1], [2]])
    assert done == [2]


def test_a_gpu_has_one_worker_and_a_cpu_as_many_as_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    assert workers_for(torch.device("cuda")) == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert workers_for(torch.device("cpu")) == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "none")
    assert usable_cores() >= 1
