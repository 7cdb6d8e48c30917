"""Python's garbage collector, told what lives as long as the process."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def long_lived() -> Iterator[None]:
    """What is there by now is not looked at again until the end.

    A full collection looks at each of the 340,000 objects that torch and the rest are made of: 0.13 s in which no frame is
    scored, time and again. Before cameras are made, of which one that is taken away must be collected.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
