"""What a peer answers on its standard input, one line of JSON each: ``fit`` and ``score``.

A peer runs in an environment of its own, so that this imports nothing but NumPy.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any, Protocol

import numpy as np

BATCH = 8


class Peer(Protocol):
    """A system that learns pictures and scores others."""

    version: str

    def fit(self, pictures: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
        """Learn (N, 256, 256, 3) RGB."""
        ...

    def score(self, pictures: np.ndarray[Any, np.dtype[np.uint8]]) -> float:
        """Score a batch; the first picture's score."""
        ...


def serve(peer: Peer) -> None:
    """Answer until the input ends; the arguments are the pictures to learn and those to score."""
    learned, scored = (np.load(Path(path)) for path in sys.argv[1:3])
    for line in sys.stdin:
        answer = _fit(peer, learned) if line.strip() == "fit" else _score(peer, scored)
        print(json.dumps({"version": peer.version, **answer}), flush=True)


def _fit(peer: Peer, pictures: np.ndarray[Any, np.dtype[np.uint8]]) -> dict[str, float]:
    before_mib, began_s = _peak_mib(), time.perf_counter()
    peer.fit(pictures)
    return {"seconds": time.perf_counter() - began_s, "peak_mib": _peak_mib(), "grew_mib": _peak_mib() - before_mib}


def _score(peer: Peer, pictures: np.ndarray[Any, np.dtype[np.uint8]]) -> dict[str, float]:
    first, began_s = 0.0, time.perf_counter()
    for at in range(0, len(pictures), BATCH):
        first = peer.score(pictures[at : at + BATCH])
    return {"fps": len(pictures) / (time.perf_counter() - began_s), "last": first}


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
