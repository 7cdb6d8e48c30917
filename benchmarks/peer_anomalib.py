"""Anomalib's PaDiM as a peer; run by ``benchmarks.peers`` with the Python of Anomalib's own environment."""

from __future__ import annotations

import importlib
from importlib.metadata import version
from typing import Any

import numpy as np
import torch

from benchmarks.peer_protocol import BATCH, serve

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Anomalib:
    """Its torch model, without the trainer around it, which costs more; weights are random, which costs the same."""

    version = f"anomalib {version('anomalib')}"

    def __init__(self) -> None:
        padim = importlib.import_module("anomalib.models.image.padim.torch_model")
        self._model = padim.PadimModel("resnet18", ["layer1", "layer2", "layer3"], pre_trained=False, n_features=100)

    def fit(self, pictures: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
        """Fill its memory bank, and fit."""
        self._model.train()
        self._model.feature_extractor.eval()
        for at in range(0, len(pictures), BATCH):
            self._model(_images(pictures[at : at + BATCH]))
        self._model.fit()
        self._model.eval()

    def score(self, pictures: np.ndarray[Any, np.dtype[np.uint8]]) -> float:
        """Scores and maps at the pictures' size, as it makes them."""
        with torch.no_grad():
            return float(self._model(_images(pictures)).pred_score[0])


def _images(pictures: np.ndarray[Any, np.dtype[np.uint8]]) -> torch.Tensor:
    images = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
    return (images - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)


if __name__ == "__main__":
    serve(Anomalib())
