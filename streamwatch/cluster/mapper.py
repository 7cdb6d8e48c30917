"""Work on many things by Ray's workers (``learning.by_clip.mapper.Mapper``)."""

from __future__ import annotations

import os
import sys
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from typing import Any, TypeVar

import cv2
import torch
from torch import Tensor

from streamwatch.cluster.connection import ray_module
from streamwatch.errors import ClusterError

S = TypeVar("S")
T = TypeVar("T")
R = TypeVar("R")

AHEAD = 3
"""So many results for each worker at most wait behind one that takes long: each may hold gigabytes."""
TRIES_AGAIN = 3
"""How often what a lost worker had is given to another."""


class RayMapper:
    """Each item is a task of one CPU and one thread; those of a worker that is lost are done again.

    Args:
        ray: the module, connected.
        workers: how many tasks at once; None for as many as the cluster has CPUs.
        gpus_each: the share of a GPU that a task takes.

    Raises:
        ClusterError: the cluster has no CPU, and would let every task wait.
    """

    def __init__(self, ray: Any, *, workers: int | None = None, gpus_each: float = 0.0) -> None:
        self._ray = ray
        cpus = int(ray.cluster_resources().get("CPU", 0))
        if not cpus:
            raise ClusterError("the Ray cluster has no CPU for workers", hint="start a node with --num-cpus")
        self._workers = workers or cpus
        self._task = ray.remote(num_cpus=1, num_gpus=gpus_each, max_retries=TRIES_AGAIN)(_done)
        _send_tensors_as_arrays(ray)

    def map(self, work: Callable[[S, T], R], shared: S, items: Sequence[T]) -> Iterator[R]:
        """See ``Mapper``; what was begun and is not asked for is called off."""
        handle, waiting = self._ray.put(shared), deque(items)
        asked: deque[Any] = deque()
        running: list[Any] = []
        try:
            while waiting or asked:
                while waiting and len(running) < self._workers and len(asked) < AHEAD * self._workers:
                    running.append(self._task.remote(work, handle, waiting.popleft()))
                    asked.append(running[-1])
                running = self._still_running(running)
                while asked and asked[0] not in running:
                    yield self._result(asked.popleft())
        finally:
            for reference in running:
                self._ray.cancel(reference, force=True)

    def _still_running(self, running: list[Any]) -> list[Any]:
        """When one of them is done, or at once if there is none."""
        if not running:
            return []
        with redirect_stdout(sys.stderr):  # where Ray tells of workers that died: a command's JSON is not to hold it
            _done_ones, still = self._ray.wait(running, num_returns=1)
        return list(still)

    def _result(self, reference: Any) -> Any:
        exceptions = self._ray.exceptions
        try:
            return self._ray.get(reference)
        except exceptions.RayTaskError as error:
            raise error.cause from None
        except exceptions.RayError as error:
            raise ClusterError(
                f"a worker was lost {TRIES_AGAIN + 1} times", hint="its memory may not do: `ray memory`, `dmesg`"
            ) from error


def _done(work: Callable[[S, T], R], shared: S, item: T) -> R:
    """In a worker: with one thread, so that as many workers as CPUs do not stand in each other's way."""
    _send_tensors_as_arrays(ray_module())
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    return work(shared, item)


def _send_tensors_as_arrays(ray: Any) -> None:
    """Arrays travel through shared memory, and are read where they lie; PyTorch's own way copies them twice."""
    ray.util.register_serializer(Tensor, serializer=_array_of, deserializer=_tensor_of)


def _array_of(tensor: Tensor) -> tuple[Any, str | None]:
    """NumPy has no bfloat16: its bits."""
    tensor = tensor.detach().cpu().contiguous()
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy(), "bfloat16"
    return tensor.numpy(), None


def _tensor_of(sent: tuple[Any, str | None]) -> Tensor:
    array, kind = sent
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the memory is read-only, and nobody writes to what was sent
        tensor = torch.from_numpy(array)
    return tensor.view(torch.bfloat16) if kind else tensor
