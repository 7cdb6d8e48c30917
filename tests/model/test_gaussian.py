"""Equations 1 and 2 against an independent float64 computation on real embeddings."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from streamwatch.errors import ModelError
from streamwatch.model.embedding import Embedder
from streamwatch.model.gaussian import EPS, fit_gaussians, mahalanobis, whiten
from streamwatch.model.identity import EmbeddingIdentity
from streamwatch.model.moments import Moments
from tests.conftest import inputs, read, shared_file

DISTANCE_RELATIVE_TOLERANCE = {"cpu": 1e-4, "cuda": 1e-4}
POSITIONS = slice(0, 4096, 37)


@pytest.fixture(scope="module")
def embeddings(untrained: tuple[Embedder, EmbeddingIdentity]) -> torch.Tensor:
    """(240, P, 100) embeddings of the courtyard, one frame in three."""
    frames = read(shared_file("courtyard.avi"))[:720:3]
    with torch.inference_mode():
        parts = [untrained[0](batch).flatten(1, 2)[:, POSITIONS] for batch in torch.split(inputs(frames), 16)]
    return torch.cat(parts).clone()


def numpy_distances(train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Eq. 1 and 2, position by position, by solving and not by whitening."""
    distances = np.empty(test.shape[:2])
    for position in range(train.shape[1]):
        x = train[:, position]
        mean = x.mean(axis=0)
        sigma = (x - mean).T @ (x - mean) / (len(x) - 1) + EPS * np.eye(x.shape[1])
        centred = test[:, position] - mean
        distances[:, position] = np.sqrt(np.einsum("nd,nd->n", centred, np.linalg.solve(sigma, centred.T).T))
    return distances


def test_distances_equal_numpy_on_real_embeddings(embeddings: torch.Tensor, device: torch.device) -> None:
    train, test = embeddings[:200].to(device), embeddings[200:].to(device)
    moments = Moments.starting_with(train[:32])
    for batch in torch.split(train[32:], 32):
        moments.add(batch)
    actual = mahalanobis(fit_gaussians(moments), test).cpu().numpy()
    expected = numpy_distances(train.double().cpu().numpy(), test.double().cpu().numpy())
    relative = np.abs(actual - expected) / expected
    assert relative.max() <= DISTANCE_RELATIVE_TOLERANCE[device.type], relative.max()


def test_whitening_inverts_the_covariance() -> None:
    rng = np.random.default_rng(0)
    a = torch.from_numpy(rng.normal(size=(7, 12, 9)))
    covariance = a.transpose(1, 2) @ a
    w = whiten(covariance, EPS)
    inverse = torch.linalg.inv(covariance + EPS * torch.eye(9, dtype=torch.float64))
    torch.testing.assert_close(w.transpose(1, 2) @ w, inverse, rtol=1e-8, atol=1e-8)
    assert torch.equal(w, w.tril())


def test_a_covariance_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ModelError, match="positive definite"):
        whiten(torch.full((2, 3, 3), float("nan"), dtype=torch.float64), EPS)
