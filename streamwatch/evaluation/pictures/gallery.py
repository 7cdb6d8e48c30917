"""The pictures of a class that are most worth looking at."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from streamwatch.evaluation.curves import Mask
from streamwatch.records import Float32Array, UInt8Array
from streamwatch.video.overlay import encode_jpeg, heat_overlay

QUALITY = 80
_KINDS = {"found": "best found", "missed": "worst missed", "false": "highest without a defect"}


@dataclass(frozen=True)
class Shown:
    """A picture with its map laid over it and its mask outlined, as JPEG.

    Attributes:
        title: why it is shown.
        score: the map's maximum.
    """

    title: str
    name: str
    score: float
    jpeg: bytes


@dataclass(frozen=True)
class _Candidate:
    rank: float
    name: str
    pixels: UInt8Array
    heat: Float32Array
    mask: Mask


class Gallery:
    """Keeps one of each kind."""

    def __init__(self) -> None:
        self._kept: dict[str, _Candidate] = {}
        self._low, self._high = float("inf"), 0.0

    def offer(self, name: str, anomalous: bool, pixels: UInt8Array, heat: Float32Array, mask: Mask) -> None:
        """Keep the picture if it is the best found, the worst missed or the highest without a defect."""
        score = float(heat.max())
        self._low, self._high = min(self._low, float(np.median(heat))), max(self._high, score)
        for kind, rank in (("found", score), ("missed", -score)) if anomalous else (("false", score),):
            before = self._kept.get(kind)
            if before is None or before.rank < rank:
                self._kept[kind] = _Candidate(rank, name, pixels, heat, mask)

    def shown(self) -> list[Shown]:
        """Those that were kept, all in the same colours."""
        return [self._drawn(kind, self._kept[kind]) for kind in _KINDS if kind in self._kept]

    def _drawn(self, kind: str, one: _Candidate) -> Shown:
        overlay = heat_overlay(one.pixels, one.heat, low=self._low, high=max(self._high, 1.01 * self._low))
        scaled = cv2.resize(one.mask.astype(np.uint8), overlay.shape[1::-1], interpolation=cv2.INTER_NEAREST)
        outlines, _ = cv2.findContours(scaled, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(overlay, outlines, -1, (255, 255, 255), 1)
        return Shown(_KINDS[kind], one.name, abs(one.rank), encode_jpeg(overlay, QUALITY))
