"""Equations 1 and 2 against an independent float64 computation on real embeddings."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from streamwatch.errors import ModelError
from streamwatch.model.embedding.embedder import Embedder
from streamwatch.model.embedding.identity import EmbeddingIdentity
from streamwatch.model.normality.gaussian import (
    EPS,
    GaussianField,
    drawn_normal,
    fit_gaussians,
    mahalanobis,
    squared_parts,
    supported_shrinkage,
    whiten,
)
from streamwatch.model.normality.moments import Moments
from tests.conftest import inputs, read, shared_file

DISTANCE_RELATIVE_TOLERANCE = {"cpu": 1e-4, "cuda": 1e-4}
HALF_WHITENERS_TOLERANCE = {"cpu": 1e-2, "cuda": 1e-2}
"""Of a picture's largest distance; measured 2e-3."""
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


def test_shrunk_distances_equal_numpy(embeddings: torch.Tensor) -> None:
    shrinkage, train, test = 0.3, embeddings[:200], embeddings[200:220]
    x = train.double().numpy()
    centred = x - x.mean(axis=0)
    own = np.einsum("npd,npe->pde", centred, centred) / (len(x) - 1)
    sigma = (1 - shrinkage) * own + shrinkage * own.mean(axis=0) + EPS * np.eye(x.shape[2])
    difference = (test.double().numpy() - x.mean(axis=0)).transpose(1, 2, 0)
    expected = np.sqrt((difference * np.linalg.solve(sigma, difference)).sum(axis=1)).T
    actual = mahalanobis(fit_gaussians(Moments.starting_with(train), shrinkage=shrinkage), test).numpy()
    relative = np.abs(actual - expected) / expected
    assert relative.max() <= DISTANCE_RELATIVE_TOLERANCE["cpu"], relative.max()


def test_little_footage_leaves_much_to_what_places_have_in_common() -> None:
    assert supported_shrinkage(100, 0) == 1.0
    assert supported_shrinkage(100, 60) == pytest.approx(0.625)
    assert supported_shrinkage(100, 3600) < 0.03


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


PARTS = (slice(0, 3), slice(3, 7), slice(7, 9))
SQUARES_RELATIVE_TOLERANCE = 1e-4


def a_field_and_its_footage(frames: int = 4000) -> tuple[torch.Tensor, Moments]:
    """(N, 5, 9) correlated Gaussian embeddings of five positions."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(frames, 5, 9)) @ rng.normal(size=(9, 9)) + rng.normal(size=(5, 9))
    moments = Moments.starting_with(torch.from_numpy(x[:32]).float())
    moments.add(torch.from_numpy(x[32:]).float())
    return torch.from_numpy(x).float(), moments


def test_parts_are_what_each_channel_adds_to_those_before_it() -> None:
    """The squared distance of the first k channels alone, in float64, is the sum of the parts up to k."""
    x, moments = a_field_and_its_footage()
    at = torch.tensor([4, 0, 2])
    chosen = x[[5, 6, 7], at]
    parts = squared_parts(fit_gaussians(moments), chosen, at, PARTS)
    for row, position in enumerate(at.tolist()):
        sample = x[:, position].double().numpy()
        sigma, mean = np.cov(sample.T) + EPS * np.eye(9), sample.mean(axis=0)
        off = chosen[row].double().numpy() - mean
        nested = [off[:k] @ np.linalg.solve(sigma[:k, :k], off[:k]) for k in (3, 7, 9)]
        np.testing.assert_allclose(parts.squared[row].cumsum(0).numpy(), nested, rtol=SQUARES_RELATIVE_TOLERANCE)
    distances = mahalanobis(fit_gaussians(moments), x[[5, 6, 7]])[[0, 1, 2], at]
    np.testing.assert_allclose(parts.squared.sum(1).sqrt(), distances, rtol=SQUARES_RELATIVE_TOLERANCE)


@pytest.mark.parametrize("eps", [EPS, 1.0])
def test_the_usual_parts_are_those_of_the_footage(eps: float) -> None:
    """Also where the regularisation is not small."""
    x, moments = a_field_and_its_footage()
    at = torch.full((len(x),), 2)
    parts = squared_parts(fit_gaussians(moments, eps=eps), x[:, 2], at, PARTS, eps=eps)
    np.testing.assert_allclose(parts.squared.mean(0), parts.usual[0], rtol=0.01)
    np.testing.assert_allclose(parts.squared.std(0), parts.deviation[0], rtol=0.1)


@pytest.mark.parametrize("dims", [1, 10, 24, 30, 100])
def test_whiteners_in_blocks_are_the_whiteners(dims: int) -> None:
    generator = torch.Generator().manual_seed(dims)
    mean, whitener_t = torch.randn(7, dims, generator=generator), torch.randn(7, dims, dims, generator=generator).triu()
    field = GaussianField.of(mean, whitener_t)
    assert torch.equal(field.whitener_t, whitener_t)
    assert torch.equal(field.whiteners_t(torch.tensor([3, 0, 3])), whitener_t[[3, 0, 3]])
    x = torch.randn(5, 7, dims, generator=generator)
    expected = torch.einsum("npd,pde->npe", (x - mean).double(), whitener_t.double()).square().sum(2).sqrt()
    assert torch.allclose(mahalanobis(field, x).double(), expected, rtol=1e-5)


def test_at_a_hundred_channels_blocks_take_three_fifths_of_the_squares() -> None:
    field = GaussianField.of(torch.zeros(3, 100), torch.zeros(3, 100, 100))
    assert field.bytes == 3 * 4 * (100 + 6250)


def test_what_is_drawn_has_the_footages_mean_and_covariance(embeddings: torch.Tensor) -> None:
    """Of S and not of S + eps I: the footage is of fewer frames than dimensions at some, and nothing is drawn in the others."""
    few = embeddings[:60, :3]
    moments = Moments.starting_with(few)
    drawn = drawn_normal(fit_gaussians(moments), 20_000).double()
    covariance = moments.covariance(slice(0, 3))
    found = torch.stack([torch.cov(drawn[:, position].T) for position in range(3)])
    assert (drawn.mean(0) - few.double().mean(0)).abs().max() <= 0.05 * float(covariance.diagonal(dim1=1, dim2=2).max()) ** 0.5
    assert float((found - covariance).norm() / covariance.norm()) <= 0.05
    unseen = torch.linalg.eigh(covariance[0])[1][:, 0]
    assert float((drawn[:, 0] @ unseen).var()) <= 0.01 * EPS


def test_whiteners_in_16_bits_are_half_as_large_and_hardly_off(embeddings: torch.Tensor, device: torch.device) -> None:
    field = fit_gaussians(Moments.starting_with(embeddings[:200]))
    half = field.rounded(torch.bfloat16, 0.002).to(device)
    means = field.mean.numel() * 4
    assert half.bytes - means == (field.bytes - means) // 2
    test = embeddings[200:]
    expected = numpy_distances(embeddings[:200].double().numpy(), test.double().numpy())
    relative = np.abs(mahalanobis(half, test.to(device)).cpu().numpy() - expected) / expected.max(axis=1, keepdims=True)
    assert relative.max() <= HALF_WHITENERS_TOLERANCE[device.type], relative.max()


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_with_whiteners_in_16_bits_a_frame_is_as_far_off_in_any_batch_of_a_tile(embeddings: torch.Tensor, frames: int) -> None:
    half = fit_gaussians(Moments.starting_with(embeddings[:200])).rounded(torch.bfloat16, 0.002)
    tile = embeddings[200:208]
    rolled = torch.roll(tile, frames, 0)
    assert torch.equal(torch.roll(mahalanobis(half, tile), frames, 0), mahalanobis(half, rolled))


def test_whiteners_that_are_rounded_stay_so_wherever_they_go(embeddings: torch.Tensor) -> None:
    half = fit_gaussians(Moments.starting_with(embeddings[:200])).rounded(torch.bfloat16, 0.002)
    moved = half.to(torch.device("cpu"))
    assert (moved.blocks[0].dtype, moved.mean.dtype, moved.rounding) == (torch.bfloat16, torch.float32, 0.002)


def test_whiteners_of_something_else_are_no_models() -> None:
    field = GaussianField.of(torch.zeros(2, 24), 100.0 * torch.eye(24).expand(2, 24, 24))
    with pytest.raises(ModelError, match="regularised"):
        drawn_normal(field, 1)
