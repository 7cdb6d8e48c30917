"""Reading a source ahead in a thread, and scoring or learning it: what `score`, `fit` and evaluation share."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from typing import TypeVar

from streamwatch.inference.engine import Engine
from streamwatch.model.batches import FrameBatch
from streamwatch.model.scene import LEARN_BATCH_FRAMES
from streamwatch.records import Frame
from streamwatch.scores import FrameScore

SCORE_BATCH_FRAMES = 16
_AHEAD = 2 * LEARN_BATCH_FRAMES
T = TypeVar("T")


def read_ahead(items: Iterable[T], depth: int = _AHEAD) -> Generator[T]:
    """Draw ``items`` in a thread, at most ``depth`` ahead; what it raises is raised here.

    Decoding releases the GIL, so it runs beside the network. Closing the iterator ends the thread.
    """
    ready: queue.Queue[T | _End] = queue.Queue(depth)
    abandoned = threading.Event()

    def offer(item: T | _End) -> bool:
        while not abandoned.is_set():
            with suppress(queue.Full):
                ready.put(item, timeout=0.1)
                return True
        return False

    def draw() -> None:
        try:
            for item in items:
                if not offer(item):
                    return
        finally:
            offer(_End())

    with ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as pool:
        drawing = pool.submit(draw)
        try:
            while not isinstance(item := ready.get(), _End):
                yield item
            drawing.result()  # raises what drawing raised
        finally:
            abandoned.set()


class _End:
    """Stands at the end of the queue."""


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of ``size`` items, the last one shorter."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def score_frames(engine: Engine, frames: Iterable[Frame]) -> Generator[FrameScore]:
    """Score frames in order, reading ahead."""
    for batch in batched(read_ahead(frames), max(SCORE_BATCH_FRAMES, engine.frames_for_all)):
        yield from engine.score(batch)


def input_batches(
    engine: Engine, frames: Iterable[Frame], on_frames: Callable[[int], None] | None = None
) -> Generator[FrameBatch]:
    """Batches for ``SceneModel.fit`` on the engine's device, reading ahead; ``on_frames`` hears of each."""
    for batch in batched(read_ahead(frames), LEARN_BATCH_FRAMES):
        yield engine.batch_of(batch)
        if on_frames:
            on_frames(len(batch))
