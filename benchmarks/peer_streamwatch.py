"""streamwatch as a peer of others: what is learned and scored is appearance alone, as they do."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from benchmarks.peer_protocol import BATCH, serve
from streamwatch import __version__
from streamwatch.inference.engine import WatchedScene
from streamwatch.inference.factory import build_engine
from streamwatch.model.batches import FrameBatch
from streamwatch.model.embedding.identity import BackboneSpec
from streamwatch.model.fitting import fit
from streamwatch.model.scene import SceneModel
from streamwatch.records import Frame
from streamwatch.threads import usable_cores

RATE_HZ = 10.0


class Streamwatch:
    """The engine in float32, from pictures to levels."""

    version = f"streamwatch {__version__}"

    def __init__(self) -> None:
        tile_frames = max(BATCH // usable_cores(), 1)  # so that a batch gives each core a part
        self._engine = build_engine(
            BackboneSpec(weights="untrained"), device="cpu", precision="float32", tile_frames=tile_frames
        )
        self._count = 0

    def fit(self, pictures: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
        """Learn the moments batch by batch, and solve."""
        batches = (_batch(pictures[at : at + BATCH]) for at in range(0, len(pictures), BATCH))
        scene = fit(SceneModel(self._engine.identity, features="appearance"), self._engine.embedder, batches)
        self._engine.watch("cam", WatchedScene(scene))

    def score(self, pictures: np.ndarray[Any, np.dtype[np.uint8]]) -> float:
        """Maps, filter, level and explanation."""
        frames = [self._frame(picture) for picture in pictures]
        return self._engine.score(frames)[0].score

    def _frame(self, picture: np.ndarray[Any, np.dtype[np.uint8]]) -> Frame:
        self._count += 1
        return Frame("cam", self._count, self._count / RATE_HZ, 0.0, 0.0, picture)


def _batch(pictures: np.ndarray[Any, np.dtype[np.uint8]]) -> FrameBatch:
    nothing = torch.full((len(pictures), 64, 64), torch.nan)
    return FrameBatch(torch.from_numpy(pictures), nothing, torch.arange(len(pictures), dtype=torch.float64) / RATE_HZ)


if __name__ == "__main__":
    serve(Streamwatch())
