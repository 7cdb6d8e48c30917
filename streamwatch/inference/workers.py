"""A CPU's cores as workers, each of which scores frames of its own with one thread.

Threads inside one operation wait for one another after each of its parts, and on a machine that also decodes one of them is
always kept waiting: on 2 cores beside 24 decoders two threads scored 1.6 frames/s and two workers ten times as many; with
nothing beside them 19 to 27 and 32 to 36 (ResNet-18, float32; docs/performance/README.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import torch

from streamwatch.threads import Pool, usable_cores

T = TypeVar("T")


def workers_for(device: torch.device) -> int:
    """One for each core of a CPU; one alone for a GPU, which is fastest at one large batch."""
    return usable_cores() if device.type == "cpu" else 1


def _one_thread() -> None:
    torch.set_num_threads(1)


class Workers:
    """Runs parts of a batch side by side.

    Args:
        prepare: done once by each; usually has PyTorch compute with one thread in it.
    """

    def __init__(self, count: int, *, prepare: Callable[[], None] = _one_thread) -> None:
        self.count = count
        self._pool = Pool(count, "scoring", prepare) if count > 1 else None

    def __del__(self) -> None:
        if self._pool:
            self._pool.close()

    def map(self, work: Callable[[list[int]], T], parts: Sequence[list[int]]) -> list[T]:
        """What ``work`` makes of each part, in their order; raises what the first that fails raises, when all are done."""
        if self._pool is None:
            return [work(part) for part in parts]
        waiting = [self._pool.submit(partial(work, part)) for part in parts]  # a lone part, too: the caller has other threads
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
