"""Something that many ask for at once, made once for all of them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from streamwatch.clock import Clock

T = TypeVar("T")


class Shared(Generic[T]):
    """Made anew when it is older than ``max_age_s``; who asks meanwhile waits for it rather than making another."""

    def __init__(self, clock: Clock, max_age_s: float = 0.5) -> None:
        self._clock, self._max_age_s, self._making = clock, max_age_s, threading.Lock()
        self._made: tuple[float, T] | None = None

    def peek(self) -> T | None:
        """The one that is there, if it is young enough; waits for nobody."""
        made = self._made
        return made[1] if made is not None and self._clock.monotonic_s() - made[0] <= self._max_age_s else None

    def get(self, make: Callable[[], T]) -> T:
        """The one that is there, or what ``make`` gives."""
        with self._making:
            now_s = self._clock.monotonic_s()
            if self._made is None or now_s - self._made[0] > self._max_age_s:
                self._made = now_s, make()
            return self._made[1]
