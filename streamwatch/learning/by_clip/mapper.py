"""Where work on many things is done: here, one after the other, or by workers (``cluster.mapper``)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

S = TypeVar("S")
T = TypeVar("T")
R = TypeVar("R")


class Mapper(Protocol):
    """Does the same work on many things."""

    def map(self, work: Callable[[S, T], R], shared: S, items: Sequence[T]) -> Iterator[R]:
        """``work(shared, item)`` of every item, in the order of the items, whatever the order they were done in.

        Args:
            work: a function of a module, which workers find by its name.
            shared: what all items have in common; it reaches a worker's machine once.

        Raises:
            ClusterError: workers fail again and again; and whatever ``work`` raises.
        """
        ...


class InTurn:
    """Does it here, one after the other."""

    def map(self, work: Callable[[S, T], R], shared: S, items: Sequence[T]) -> Iterator[R]:
        """See ``Mapper``."""
        return (work(shared, item) for item in items)
