"""One-pass, mergeable first and second moments of the embeddings at every position.

Shifted sums keep float32 accurate: S1 = sum(x - c), S2 = sum((x - c)(x - c)'), with c the first batch's mean.
Two accumulators merge exactly after one of them is moved to the other's shift (Chan, Golub & LeVeque 1983).
Memory does not depend on the number of frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from streamwatch.errors import ModelMismatch, NotEnoughFrames

CHUNK_POSITIONS = 64
"""Positions finalised at once in float64; at d=550 a chunk is 0.16 GB."""


def centre(x: Tensor, point: Tensor) -> Tensor:
    """x - point by position: (N, P, d) and (P, d) to a contiguous (P, N, d).

    Contiguous, because the CPU's batched product is 10 times slower on the transposed view.
    """
    frames, positions, dims = x.shape
    centred = x.new_empty((positions, frames, dims))
    return torch.sub(x.transpose(0, 1), point.unsqueeze(1), out=centred)


def batch_sums(x: Tensor, shift: Tensor, s1: Tensor, s2: Tensor) -> None:
    """Add a batch to the shifted sums in place.

    Shapes: x (N, P, d), shift (P, d), s1 (P, d), s2 (P, d, d).
    """
    centred = centre(x, shift)
    s1 += centred.sum(dim=1)
    torch.baddbmm(s2, centred.transpose(1, 2), centred, out=s2)


def reshift(n: int, s1: Tensor, s2: Tensor, delta: Tensor) -> tuple[Tensor, Tensor]:
    """Move sums about c to sums about c - delta: x - (c - delta) = (x - c) + delta.

    Shapes: s1 and delta (P, d), s2 (P, d, d); float64 in, float64 out.
    """
    cross = s1.unsqueeze(2) * delta.unsqueeze(1)
    square = n * delta.unsqueeze(2) * delta.unsqueeze(1)
    return s1 + n * delta, s2 + cross + cross.transpose(1, 2) + square


@dataclass
class Moments:
    """Count and shifted sums per position.

    Attributes:
        count: frames seen, N.
        shift: (P, d) the point c that the sums are about.
        s1: (P, d) sum of x - c.
        s2: (P, d, d) sum of (x - c)(x - c)'.
    """

    count: int
    shift: Tensor
    s1: Tensor
    s2: Tensor

    @classmethod
    def starting_with(cls, x: Tensor) -> Moments:
        """Moments of a first (N, P, d) batch, shifted by its mean."""
        _, positions, dims = x.shape
        shift = x.mean(dim=0)
        moments = cls(0, shift, torch.zeros_like(shift), x.new_zeros((positions, dims, dims)))
        moments.add(x)
        return moments

    @property
    def positions(self) -> int:
        """Number of positions P."""
        return int(self.shift.shape[0])

    @property
    def dims(self) -> int:
        """Length d of an embedding."""
        return int(self.shift.shape[1])

    def add(self, x: Tensor) -> None:
        """Add a (N, P, d) batch; 32 frames or more at once use the machine best."""
        batch_sums(x, self.shift, self.s1, self.s2)
        self.count += int(x.shape[0])

    def merge(self, other: Moments) -> None:
        """Add everything that ``other`` has seen; exact but for rounding.

        Raises:
            ModelMismatch: the two have different shapes.
        """
        if self.shift.shape != other.shift.shape:
            raise ModelMismatch(f"moments of shape {tuple(other.shift.shape)} do not merge into {tuple(self.shift.shape)}")
        if torch.equal(self.shift, other.shift.to(self.shift)):
            self.s1 += other.s1.to(self.s1)
            self.s2 += other.s2.to(self.s2)
            self.count += other.count
            return
        for at in chunks(self.positions):
            delta = other.shift[at].to(self.shift).double() - self.shift[at].double()
            s1, s2 = reshift(other.count, other.s1[at].to(self.s1).double(), other.s2[at].to(self.s2).double(), delta)
            self.s1[at] = (self.s1[at].double() + s1).to(self.s1.dtype)
            self.s2[at] = (self.s2[at].double() + s2).to(self.s2.dtype)
        self.count += other.count

    def times(self, weight: int) -> Moments:
        """As if every frame had been seen ``weight`` times."""
        return Moments(weight * self.count, self.shift, weight * self.s1, weight * self.s2)

    def fade(self, count: int) -> None:
        """Count as ``count`` frames instead, mean and covariance as they are: exponential forgetting.

        Raises:
            ValueError: not 0 < count <= what they count.
        """
        if not 0 < count <= self.count:
            raise ValueError(f"{self.count} frames do not fade to {count}")
        self.s1 *= count / self.count
        self.s2 *= count / self.count
        self.count = count

    def copy(self) -> Moments:
        """An independent copy."""
        return Moments(self.count, self.shift.clone(), self.s1.clone(), self.s2.clone())

    def to(self, device: torch.device) -> Moments:
        """The same moments on another device."""
        return Moments(self.count, self.shift.to(device), self.s1.to(device), self.s2.to(device))

    def mean(self) -> Tensor:
        """(P, d) float64 means."""
        return self.shift.double() + self.s1.double() / self.count

    def covariance(self, at: slice) -> Tensor:
        """(P', d, d) float64 covariances of some positions with the N-1 divisor (eq. 1, Defard et al. 2020).

        Raises:
            NotEnoughFrames: fewer than two frames were seen.
        """
        if self.count < 2:
            raise NotEnoughFrames(f"{self.count} frame(s) seen, and a covariance needs at least 2")
        s1 = self.s1[at].double()
        correction = s1.unsqueeze(2) * s1.unsqueeze(1) / self.count
        return (self.s2[at].double() - correction) / (self.count - 1)


def chunks(positions: int) -> list[slice]:
    """Slices of at most CHUNK_POSITIONS that cover all positions."""
    return [slice(a, min(a + CHUNK_POSITIONS, positions)) for a in range(0, positions, CHUNK_POSITIONS)]
