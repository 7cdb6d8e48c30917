"""Figures over a threshold, from histograms: pixel AUROC and PRO in memory that does not grow with the data.

A non-negative float32's bit pattern grows with its value. Its upper 20 bits (sign, 8 of exponent, 11 of mantissa)
are the bin: 2^19 bins whose width is at most 2^-11 (0.05 %) of the value, for scores of any scale and with no range to
guess. What falls into one bin counts as tied; ``auroc_error_bound`` says what that can cost.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

Float64Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

_DROPPED_BITS = 12
BINS = 2 ** (31 - _DROPPED_BITS)
PRO_FPR_LIMIT = 0.3


def bins_of(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint32]:
    """The bin of every value; negative ones count as 0."""
    clipped = np.maximum(values, np.float32(0)).astype(np.float32)
    return np.asarray(clipped.view(np.uint32) >> _DROPPED_BITS)


@dataclass
class PixelHistograms:
    """Histograms of map values, by the truth of their pixel.

    Attributes:
        normal: (BINS,) counts of normal pixels.
        anomalous: (BINS,) counts of anomalous pixels.
        coverage: (BINS,) sum over connected components of the share of the component in the bin.
        components: number of connected components.
    """

    normal: Float64Array = field(default_factory=lambda: np.zeros(BINS))
    anomalous: Float64Array = field(default_factory=lambda: np.zeros(BINS))
    coverage: Float64Array = field(default_factory=lambda: np.zeros(BINS))
    components: int = 0

    def add(self, heat: npt.NDArray[np.float32], mask: Mask) -> None:
        """Count one frame: heat and mask (H, W)."""
        bins = bins_of(heat)
        self.normal += np.bincount(bins[~mask], minlength=BINS)
        if mask.any():
            self._add_anomalous(bins, mask)

    def _add_anomalous(self, bins: npt.NDArray[np.uint32], mask: Mask) -> None:
        count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
        inside, component = bins[mask], np.asarray(labels)[mask]
        share = 1.0 / np.bincount(component, minlength=count)[component]
        self.anomalous += np.bincount(inside, minlength=BINS)
        self.coverage += np.bincount(inside, weights=share, minlength=BINS)
        self.components += count - 1

    def merge(self, other: PixelHistograms) -> None:
        """Add another's counts."""
        self.normal += other.normal
        self.anomalous += other.anomalous
        self.coverage += other.coverage
        self.components += other.components

    def auroc(self) -> float | None:
        """Pixel AUROC: the chance that an anomalous pixel scores above a normal one, ties counting half.

        None if either kind is missing. Within ``auroc_error_bound`` of the exact figure.
        """
        pairs = self.normal.sum() * self.anomalous.sum()
        if not pairs:
            return None
        below = np.cumsum(self.normal) - self.normal
        return float((self.anomalous * (below + 0.5 * self.normal)).sum() / pairs)

    def auroc_error_bound(self) -> float:
        """Half the share of pairs that fall into one bin: the exact AUROC is no further away."""
        pairs = self.normal.sum() * self.anomalous.sum()
        return float(0.5 * (self.normal * self.anomalous).sum() / pairs) if pairs else 0.0

    def roc(self) -> tuple[Float64Array, Float64Array]:
        """False and true positive rates at every occupied threshold, from the highest to the lowest."""
        occupied = np.flatnonzero(self.normal + self.anomalous)[::-1]
        fpr = np.cumsum(self.normal[occupied]) / max(self.normal.sum(), 1)
        tpr = np.cumsum(self.anomalous[occupied]) / max(self.anomalous.sum(), 1)
        return np.concatenate([[0.0], fpr]), np.concatenate([[0.0], tpr])

    def pro_curve(self) -> tuple[Float64Array, Float64Array]:
        """False positive rate and mean per-component coverage at every occupied threshold."""
        occupied = np.flatnonzero(self.normal + self.anomalous)[::-1]
        fpr = np.cumsum(self.normal[occupied]) / max(self.normal.sum(), 1)
        coverage = np.cumsum(self.coverage[occupied]) / max(self.components, 1)
        return np.concatenate([[0.0], fpr]), np.concatenate([[0.0], coverage])

    def pro(self, limit: float = PRO_FPR_LIMIT) -> float | None:
        """Per-region overlap: the area under mean component coverage over FPR 0..``limit``, divided by ``limit``.

        Bergmann et al. 2020, "Uninformed Students", section 4.2. None without components or normal pixels.
        """
        if not self.components or not self.normal.sum():
            return None
        fpr, coverage = self.pro_curve()
        return area_up_to(fpr, coverage, limit) / limit


def area_up_to(x: Float64Array, y: Float64Array, limit: float) -> float:
    """Area under the polygon through (x, y) from x[0] to ``limit``, the last segment cut there; x ascending."""
    inside = x <= limit
    end = float(np.interp(limit, x, y))
    return float(np.trapezoid(np.append(y[inside], end), np.append(x[inside], limit)))
