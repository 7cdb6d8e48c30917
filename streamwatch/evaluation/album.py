"""The frames of an evaluation that are worth looking at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from streamwatch.evaluation.curves import Mask
from streamwatch.model.calibration.thresholds import Calibration
from streamwatch.scores import FrameScore
from streamwatch.video.overlay import heat_overlay

GALLERY_OF_EACH = 2
KINDS = ("found", "missed", "false")


@dataclass(frozen=True)
class Picture:
    """A frame worth looking at: its overlay with the mask outlined, as JPEG."""

    kind: str
    clip: str
    frame: int
    ratio: float
    jpeg: bytes


@dataclass(frozen=True)
class _Candidate:
    """A frame that may be worth showing; it is drawn only if it stays one to the end of its clip."""

    rank: float
    scored: FrameScore
    mask: Mask | None


class Album:
    """Of one clip the best found, the worst missed frame, and the worst false alarm: neighbours look alike, so one of each."""

    def __init__(self, calibration: Calibration) -> None:
        self._calibration = calibration
        self._clip = ""
        self._best: dict[str, _Candidate] = {}

    def on_score(self, scored: FrameScore, clip: str, anomalous: bool, mask: Mask | None) -> None:
        """Keep the frame if it is the clip's best of a kind."""
        self._clip = clip
        ratio = scored.level / self._calibration.start_threshold
        for kind, rank in (("found", ratio), ("missed", -ratio)) if anomalous else (("false", ratio),):
            before = self._best.get(kind)
            if before is None or before.rank < rank:
                self._best[kind] = _Candidate(rank, scored, mask)

    def pictures(self) -> list[Picture]:
        """What was kept, drawn."""
        return [
            Picture(kind, self._clip, c.scored.frame.index, abs(c.rank), self._draw(c.scored, c.mask))
            for kind, c in self._best.items()
        ]

    def _draw(self, scored: FrameScore, mask: Mask | None) -> bytes:
        picture = scored.frame.picture
        rgb = picture.rgb() if picture else scored.frame.pixels
        low, high = 0.75 * self._calibration.end_threshold, max(1.5 * self._calibration.start_threshold, scored.level)
        overlay = heat_overlay(rgb, scored.level_grid, low=low, high=high)
        if mask is not None:
            scaled = cv2.resize(mask.astype(np.uint8), overlay.shape[1::-1], interpolation=cv2.INTER_NEAREST)
            outlines, _ = cv2.findContours(scaled, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
            cv2.drawContours(overlay, outlines, -1, (255, 255, 255), 2)
        _, encoded = cv2.imencode(".jpg", cv2.cvtColor(overlay, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 80])
        return bytes(encoded)


def gallery(pictures: Iterable[Picture]) -> list[Picture]:
    """Of all clips' pictures the strongest of each kind, the strongest first: of what was missed, those that were faintest."""
    drawn = list(pictures)
    return [
        picture
        for kind in KINDS
        for picture in sorted((p for p in drawn if p.kind == kind), key=lambda p: p.ratio if kind == "missed" else -p.ratio)[
            :GALLERY_OF_EACH
        ]
    ]
