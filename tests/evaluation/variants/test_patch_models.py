"""Variants of the method against independent computations in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA
from torch import Tensor
from torch.nn.functional import interpolate

from streamwatch.errors import NotEnoughFrames
from streamwatch.evaluation.pictures.patch_model import GaussianPatches, PatchModel
from streamwatch.evaluation.variants.covariances import CovarianceRule, ledoit_wolf, of_neighbourhood, plus_eps, plus_share
from streamwatch.evaluation.variants.patch_models import Averaged, Enlarged, NearestPatches, ReducedGaussians
from streamwatch.evaluation.variants.reductions import ChosenChannels, PrincipalComponents, Reduction, SemiOrthogonal
from streamwatch.model.embedding.embedder import Embedder
from streamwatch.model.embedding.identity import EmbeddingIdentity

RELATIVE_TOLERANCE = 2e-4
PICTURES, ROWS, COLUMNS, CHANNELS, DIMS = 60, 3, 4, 12, 5
CHOSEN = (0, 3, 4, 7, 11)


def correlated_embeddings() -> Tensor:
    rng = np.random.default_rng(2)
    mixing = rng.normal(size=(ROWS, COLUMNS, CHANNELS, CHANNELS))
    noise = rng.normal(size=(PICTURES, ROWS, COLUMNS, CHANNELS))
    means = rng.normal(size=(ROWS, COLUMNS, CHANNELS))
    return torch.from_numpy(np.einsum("nhwc,hwcd->nhwd", noise, mixing) + means).float()


EMBEDDINGS = correlated_embeddings()
X = EMBEDDINGS.double().numpy()


class Known:
    """An embedder whose pictures are numbers of embeddings that are known."""

    def __call__(self, pixels: Tensor) -> Tensor:
        return EMBEDDINGS[pixels[:, 0, 0, 0].long()]


def pictures(numbers: range) -> Tensor:
    return torch.tensor(list(numbers), dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 2, 2, 3)


def maps_of(model: PatchModel, learned: int = 50) -> np.ndarray:
    """(10, h, w) of the last ten pictures, by a model of the first fifty."""
    for number in range(model.passes):
        for at in range(0, learned, 20):
            model.learn(pictures(range(at, min(at + 20, learned))), number)
    return model.maps(pictures(range(50, 60))).numpy()


def gaussians(reduction: Reduction, rule: CovarianceRule) -> ReducedGaussians:
    embedder: Any = Known()
    return ReducedGaussians(embedder, reduction, rule)


def distances(x: np.ndarray, y: np.ndarray, covariance_of: Any) -> np.ndarray:
    """(M, h, w) Mahalanobis distances, cell by cell; ``covariance_of`` makes the covariance of a cell's (N, d) samples."""
    found = np.empty(y.shape[:3])
    for row in range(ROWS):
        for column in range(COLUMNS):
            samples = x[:, row, column]
            off = y[:, row, column] - samples.mean(axis=0)
            inverse = np.linalg.inv(covariance_of(samples))
            found[:, row, column] = np.sqrt(np.einsum("nd,de,ne->n", off, inverse, off))
    return found


def paper(samples: np.ndarray) -> np.ndarray:
    return np.asarray(np.cov(samples, rowvar=False) + 0.01 * np.eye(samples.shape[1]))


def test_chosen_channels_are_the_papers_method() -> None:
    expected = distances(X[:50][..., CHOSEN], X[50:][..., CHOSEN], paper)
    found = maps_of(gaussians(ChosenChannels(CHOSEN), CovarianceRule(plus_eps)))
    np.testing.assert_allclose(found, expected, rtol=RELATIVE_TOLERANCE)


def test_principal_components_are_scikit_learns() -> None:
    """Distances do not depend on the components' signs."""
    projection = PCA(DIMS).fit(X[:50].reshape(-1, CHANNELS)).components_.T
    expected = distances(X[:50] @ projection, X[50:] @ projection, paper)
    model = gaussians(PrincipalComponents(DIMS), CovarianceRule(plus_eps))
    assert model.passes == 2
    np.testing.assert_allclose(maps_of(model), expected, rtol=RELATIVE_TOLERANCE)


def test_a_semi_orthogonal_projection_keeps_lengths_within_its_space() -> None:
    projection = SemiOrthogonal(CHANNELS, DIMS, seed=1).matrix.double().numpy()
    np.testing.assert_allclose(projection.T @ projection, np.eye(DIMS), atol=1e-6)
    assert not np.allclose(projection, SemiOrthogonal(CHANNELS, DIMS, seed=2).matrix)
    expected = distances(X[:50] @ projection, X[50:] @ projection, paper)
    found = maps_of(gaussians(SemiOrthogonal(CHANNELS, DIMS, seed=1), CovarianceRule(plus_eps)))
    np.testing.assert_allclose(found, expected, rtol=RELATIVE_TOLERANCE)


def test_ledoit_and_wolfs_is_scikit_learns() -> None:
    model = gaussians(ChosenChannels(CHOSEN), CovarianceRule(ledoit_wolf, fourth=True))
    assert model.passes == 2
    shares: list[float] = []

    def covariance(samples: np.ndarray) -> np.ndarray:
        fitted = LedoitWolf().fit(samples)
        shares.append(fitted.shrinkage_)
        return np.asarray(fitted.covariance_)

    expected = distances(X[:50][..., CHOSEN], X[50:][..., CHOSEN], covariance)
    assert 0.02 < min(shares) < max(shares) < 0.9
    np.testing.assert_allclose(maps_of(model), expected, rtol=RELATIVE_TOLERANCE)


def test_a_share_of_the_variance_makes_distances_independent_of_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    before = maps_of(gaussians(ChosenChannels(CHOSEN), CovarianceRule(plus_share)))
    scale = np.mean(
        [np.var(X[:50, row, column][:, CHOSEN], axis=0, ddof=1) for row in range(ROWS) for column in range(COLUMNS)]
    )
    expected = distances(
        X[:50][..., CHOSEN], X[50:][..., CHOSEN], lambda s: np.cov(s, rowvar=False) + 0.01 * scale * np.eye(len(CHOSEN))
    )
    np.testing.assert_allclose(before, expected, rtol=RELATIVE_TOLERANCE)
    monkeypatch.setattr(__import__(__name__, fromlist=["EMBEDDINGS"]), "EMBEDDINGS", 100 * EMBEDDINGS)
    np.testing.assert_allclose(maps_of(gaussians(ChosenChannels(CHOSEN), CovarianceRule(plus_share))), before, rtol=1e-3)


def test_a_neighbourhoods_moments_are_those_of_all_its_patches() -> None:
    found = maps_of(gaussians(ChosenChannels(CHOSEN), CovarianceRule(of_neighbourhood)))
    x, y = X[:50][..., CHOSEN], X[50:][..., CHOSEN]
    for row in range(ROWS):
        for column in range(COLUMNS):
            around = x[:, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
            cells = [around[:, r, c] for r in range(around.shape[1]) for c in range(around.shape[2])]
            mean = np.mean([cell.mean(axis=0) for cell in cells], axis=0)
            products = [np.cov(cell, rowvar=False) + np.outer(cell.mean(axis=0), cell.mean(axis=0)) for cell in cells]
            covariance = np.mean(products, axis=0) - np.outer(mean, mean) + 0.01 * np.eye(len(CHOSEN))
            off = y[:, row, column] - mean
            expected = np.sqrt(np.einsum("nd,de,ne->n", off, np.linalg.inv(covariance), off))
            np.testing.assert_allclose(found[:, row, column], expected, rtol=RELATIVE_TOLERANCE)


def test_nearest_patches_are_those_of_the_pictures_that_are_most_alike() -> None:
    embedder: Any = Known()
    model = NearestPatches(embedder, pictures=7)
    found = maps_of(model)
    known = EMBEDDINGS[:50].half().double().numpy()
    for number in range(10):
        asked = X[50 + number]
        means = np.linalg.norm(known.mean(axis=(1, 2)) - asked.mean(axis=(0, 1)), axis=1)
        gallery = known[np.argsort(means)[:7]].reshape(-1, CHANNELS)
        expected = np.linalg.norm(asked[:, :, None] - gallery, axis=3).min(axis=2)
        np.testing.assert_allclose(found[number], expected, rtol=RELATIVE_TOLERANCE)
    assert model.bytes == 2 * known.size


def test_averages_are_over_the_cells_that_there_are() -> None:
    embedder: Any = Known()
    plain = maps_of(GaussianPatches(embedder))
    found = maps_of(Averaged(GaussianPatches(embedder), 3))
    for row in range(ROWS):
        for column in range(COLUMNS):
            around = plain[:, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
            np.testing.assert_allclose(found[:, row, column], around.mean(axis=(1, 2)), rtol=RELATIVE_TOLERANCE)


def test_an_enlarged_picture_is_embedded_at_the_same_positions(untrained: tuple[Embedder, EmbeddingIdentity]) -> None:
    embedder, _ = untrained
    pixels = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        found = Enlarged(embedder, 2)(pixels)
        assert found.shape == embedder(pixels).shape
        large = interpolate(pixels.permute(0, 3, 1, 2).float(), size=(128, 128), mode="bicubic", align_corners=False)
        fine = embedder(large.round().clamp(0, 255).byte().permute(0, 2, 3, 1))
    np.testing.assert_allclose(found[:, 3, 5], fine[:, 6:8, 10:12].mean(dim=(1, 2)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", [GaussianPatches, NearestPatches])
def test_nothing_learned_is_said(make: Any) -> None:
    with pytest.raises(NotEnoughFrames, match="no normal picture"):
        make(Known()).maps(pictures(range(2)))
