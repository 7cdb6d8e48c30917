"""A CPU's cores as workers, each of which scores frames of its own with one thread.

Threads inside one operation wait for one another after each of its parts, and on a machine that also decodes one of them is
always kept waiting: on 2 cores beside 24 decoders two threads scored 1.6 frames/s and two workers ten times as many; with
nothing beside them 19 to 27 and 32 to 36 (ResNet-18, float32; docs/performance/).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import torch

T = TypeVar("T")


def usable_cores() -> int:
    """Cores that this process may use: what OMP_NUM_THREADS says, or else the machine's that it is bound to."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdecimal() and int(asked) > 0 else len(os.sched_getaffinity(0))


def workers_for(device: torch.device) -> int:
    """One for each core of a CPU; one alone for a GPU, which is fastest at one large batch."""
    return usable_cores() if device.type == "cpu" else 1


class Workers:
    """Runs parts of a batch side by side."""

    def __init__(self, count: int) -> None:
        self.count = count
        one_thread = partial(torch.set_num_threads, 1)
        self._pool = ThreadPoolExecutor(count, "scoring", initializer=one_thread) if count > 1 else None

    def map(self, work: Callable[[list[int]], T], parts: Sequence[list[int]]) -> list[T]:
        """What ``work`` makes of each part, in their order; raises what the first that fails raises, when all are done."""
        if self._pool is None or len(parts) < 2:
            return [work(part) for part in parts]
        waiting = [self._pool.submit(work, part) for part in parts]
        for one in waiting:
            one.exception()  # waits: what a failed part leaves behind is free when it is told
        return [one.result() for one in waiting]

    def split(self, rows: Sequence[int], *, multiple: int = 1) -> list[list[int]]:
        """Rows in as many parts as there are workers, one after the other, each but the last a multiple of ``multiple``."""
        if self.count == 1 or len(rows) <= 1:
            return [list(rows)]
        each = -(-len(rows) // self.count)
        each += -each % multiple
        return [list(rows[at : at + each]) for at in range(0, len(rows), each)]
