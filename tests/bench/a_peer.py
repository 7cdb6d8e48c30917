"""A peer for tests: it learns how many pictures there are, and its score is their first value."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.peer_protocol import serve


class Counting:
    """Counts."""

    version = "a peer"

    def fit(self, pictures: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
        """Count."""
        self.version = f"a peer of {len(pictures)}"

    def score(self, pictures: np.ndarray[Any, np.dtype[np.uint8]]) -> float:
        """The first value."""
        return float(pictures.flat[0])


if __name__ == "__main__":
    serve(Counting())
