"""Fusing appearance and motion by how unusual each is, from normal footage alone.

Each field's map is expressed by its own tail (``tails.Tail``): -log10 of the chance that normal footage is as far out.
The fused map is motion's tail plus half of appearance's, appearance capped at 3:

- motion carries the frame figure, so it is never capped;
- appearance sharpens the place, but its outliers (a crowd, a new coat) outgrow everything, so that its say is bounded.

A thing that stands still has no motion, and a capped appearance alone could never raise an alarm. So the *level*, which
thresholds are compared with, also rises with an appearance beyond anything that held-out normal frames showed:
level = max(fused, lift x appearance tail). docs/accuracy.md compares the rules that were tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from streamwatch.model.scoring.tails import Tail, fit_tail, merge_tails
from streamwatch.model.scoring.temporal import CausalFilter
from streamwatch.records import Float32Array

Features = Literal["appearance", "motion", "both"]
FEATURES: tuple[Features, ...] = ("appearance", "motion", "both")
APPEARANCE_WEIGHT = 0.5
APPEARANCE_CAP = 3.0
LIFT_MARGIN = 1.25
"""An appearance alone must be this much further out than normal frames' 99.9 % quantile to count as a crossing."""
_FRAME_QUANTILE = 0.999


@dataclass(frozen=True)
class FieldMaps:
    """One frame's smoothed maps on the grid, (h, w); None for a field that the model lacks or the frame cannot feed."""

    appearance: Float32Array | None
    motion: Float32Array | None


def field_maps_of(appearance: Float32Array | None, motion: Float32Array | None) -> FieldMaps:
    """One frame's maps; a map of NaN says nothing."""
    return FieldMaps(*(None if m is None or np.isnan(m[0, 0]) else m for m in (appearance, motion)))


@dataclass(frozen=True)
class Fusion:
    """What fusing needs to know of a scene.

    Attributes:
        appearance, motion: the fields' tails on held-out normal footage.
        lift: an appearance tail times this is in units of the fused map.
    """

    appearance: Tail
    motion: Tail
    lift: float

    def tails(self, maps: FieldMaps) -> FieldMaps:
        """The maps as tail levels."""
        appearance = None if maps.appearance is None else self.appearance.level(maps.appearance)
        return FieldMaps(appearance, None if maps.motion is None else self.motion.level(maps.motion))


def fused(tails: FieldMaps) -> Float32Array:
    """Motion's tail plus half of appearance's capped at 3; appearance's part alone where there is no motion evidence."""
    if tails.appearance is None:
        raise ValueError("fusing needs an appearance map")
    capped = APPEARANCE_WEIGHT * np.minimum(tails.appearance, np.float32(APPEARANCE_CAP))
    return np.asarray(capped if tails.motion is None else capped + tails.motion, dtype=np.float32)


def level_of(tails: FieldMaps, lift: float) -> Float32Array:
    """What thresholds are compared with: the fused map, or appearance alone where that is further out."""
    whole = fused(tails)
    return whole if tails.appearance is None else np.maximum(whole, np.float32(lift) * tails.appearance)


def filtered(maps: Sequence[FieldMaps], times_s: Sequence[float]) -> list[FieldMaps]:
    """A block of consecutive frames through the causal filter, from its start."""
    appearance, motion = CausalFilter(), CausalFilter()
    return [FieldMaps(appearance.apply(m.appearance, t), motion.apply(m.motion, t)) for m, t in zip(maps, times_s, strict=True)]


def learn_fusion(held: Sequence[FieldMaps]) -> Fusion:
    """Tails and lift from filtered held-out frames.

    Raises:
        ValueError: no frame has both maps.
    """
    both = [(m.appearance, m.motion) for m in held if m.appearance is not None and m.motion is not None]
    if not both:
        raise ValueError("no held-out frame has both fields")
    appearance, motion = (fit_tail(np.stack([pair[i] for pair in both])) for i in (0, 1))
    return Fusion(appearance, motion, _lift(Fusion(appearance, motion, 1.0), held))


def _lift(fusion: Fusion, held: Sequence[FieldMaps]) -> float:
    tails = [fusion.tails(maps) for maps in held]
    whole = np.quantile([fused(t).max() for t in tails], _FRAME_QUANTILE)
    alone = np.quantile([t.appearance.max() for t in tails if t.appearance is not None], _FRAME_QUANTILE)
    return float(whole / max(LIFT_MARGIN * alone, 1e-6))


def merge_fusions(a: Fusion, b: Fusion) -> Fusion:
    """Tails of both footages together; the lower of the two lifts, because an alarm needs more to go by."""
    appearance, motion = merge_tails((a.appearance, b.appearance)), merge_tails((a.motion, b.motion))
    return Fusion(appearance, motion, min(a.lift, b.lift))
