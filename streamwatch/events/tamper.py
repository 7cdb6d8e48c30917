"""A picture that cannot be watched: frozen, dark, blown out or covered. A fault to report, not a calm scene.

Kinds are ONVIF's words. A lens that is covered shows a featureless picture of some brightness; what is featureless and
neither dark nor bright is reported as blurry. When most positions are far from normal together, it is no thing in the scene
but the light, the camera or the lens (``records.Spread``): dark, bright or blurry by the picture itself, else a
change of the whole scene, until it is as it was or is learned anew. So is a camera that changes its picture's size.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from streamwatch.enums import TamperKind
from streamwatch.records import UInt8Array
from streamwatch.scores import NO_SPREAD, Spread

FEATURELESS_LEVELS = 4.0
"""Standard deviation over the whole picture, in grey levels; a night picture with any lamp in it has more."""
DARK_LEVEL, BRIGHT_LEVEL = 40.0, 215.0
FROZEN_AFTER_S = 10.0
FROZEN_LEVELS = 0.05
"""Mean difference of two frozen pictures, in grey levels: coding them again may dither. Real footage has 1 or more."""
FEATURELESS_AFTER_S = 2.0
SCENE_WIDE = 2.0
"""The whole scene changed if the low of its spread is so many times what normal footage stays below, and it is even."""
EVEN = 0.2
"""Measured on a courtyard, (low / its normal limit, evenness): a van over a quarter of the picture up to 1.5, 0.16; defocus
from 2.6, 0.25; a shift by 5 % from 2.9, 0.33; light times 0.5 or 1.6 from 4.1, 0.49. In a place where nothing ever changed,
a thing over 6 % of the picture: 2.1, 0.05 - without the second condition it was taken for tampering, and its alarm lost."""
BLURRED_TO = 0.4
"""A picture whose detail is this share of the usual is blurred: halving the light keeps 0.5 of it."""
_USUAL_SHARE = 0.02
"""Weight of the newest picture in what detail is usual."""
CLEAR_AFTER_S = 2.0


@dataclass(frozen=True, slots=True)
class TamperChange:
    """The picture went bad, or is good again."""

    kind: TamperKind
    active: bool
    since_wall_s: float


def featureless_kind(pixels: UInt8Array) -> TamperKind | None:
    """What is wrong with a picture without features; None if it has some."""
    grey = pixels[::4, ::4].mean(axis=2)
    if float(grey.std()) >= FEATURELESS_LEVELS:
        return None
    level = float(grey.mean())
    return (
        TamperKind.TOO_DARK if level < DARK_LEVEL else TamperKind.TOO_BRIGHT if level > BRIGHT_LEVEL else TamperKind.TOO_BLURRY
    )


def _difference(a: UInt8Array, b: UInt8Array) -> float:
    """Mean absolute difference in grey levels."""
    return float(np.abs(a.astype(np.int16) - b).mean())


class TamperDetector:
    """Watches one camera's model inputs, frame by frame.

    A fault must hold for a while to count, and be gone for a while to be over, so that a lightning or a
    decoder's hiccup raises nothing. The same picture over and over counts as frozen after 10 s: sensors have noise.

    Args:
        live: a recording may rightly hold the same picture over and over, a camera may not.
        calm_spread: what the spread of normal footage stays below; None if it is not known.
    """

    def __init__(self, *, live: bool = True, calm_spread: float | None = None) -> None:
        self._live = live
        self.follow_scene(calm_spread)
        self._last: UInt8Array | None = None
        self._size_px: tuple[int, int] | None = None
        self._suspect: TamperKind | None = None
        self._suspect_since_s = 0.0
        self._good_since_s: float | None = None
        self._active: TamperKind | None = None

    @property
    def active(self) -> TamperKind | None:
        """The fault that holds now."""
        return self._active

    @property
    def blinded(self) -> bool:
        """Whether the last picture says nothing, for however short: it has no features, or is the one before again."""
        return self._active is not None or self._suspect is not None

    def observe(
        self, pixels: UInt8Array, wall_s: float, size_px: tuple[int, int] | None = None, spread: Spread = NO_SPREAD
    ) -> TamperChange | None:
        """Take one frame's model input (256, 256, 3), the size of the picture that it was made from, and its spread."""
        self._size_px = self._size_px or size_px
        resized = self._live and size_px != self._size_px
        kind = (
            self._kind_of(pixels) or self._scene_kind(pixels, spread) or (TamperKind.GLOBAL_SCENE_CHANGE if resized else None)
        )
        if kind != self._suspect:
            self._suspect, self._suspect_since_s = kind, wall_s
        if self._active is not None:
            return self._maybe_over(kind, wall_s)
        if kind is None or wall_s - self._suspect_since_s < self._holds_s(kind):
            return None
        self._active, self._good_since_s = kind, None
        return TamperChange(kind, True, self._suspect_since_s)

    def follow_scene(self, calm_spread: float | None) -> None:
        """From now on the scene is another one: by this spread, and what detail is usual is learned anew."""
        self._scene_wide = float("inf") if calm_spread is None else SCENE_WIDE * calm_spread
        self._usual_detail: float | None = None

    def restart(self) -> None:
        """Forget the last picture: the stream was interrupted."""
        self._last = None

    def _kind_of(self, pixels: UInt8Array) -> TamperKind | None:
        frozen = self._live and self._last is not None and _difference(self._last, pixels) < FROZEN_LEVELS
        self._last = pixels
        return featureless_kind(pixels) or (TamperKind.SIGNAL_LOSS if frozen else None)

    def _scene_kind(self, pixels: UInt8Array, spread: Spread) -> TamperKind | None:
        """What changed the whole scene; None if nothing did, and then the picture's detail is usual."""
        grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
        detail = float(cv2.Laplacian(grey, cv2.CV_32F, ksize=1).std())
        usual = self._usual_detail = detail if self._usual_detail is None else self._usual_detail
        if spread.low < self._scene_wide or spread.evenness < EVEN:
            self._usual_detail += _USUAL_SHARE * (detail - usual)
            return None
        level = float(grey.mean())
        if level < DARK_LEVEL or level > BRIGHT_LEVEL:
            return TamperKind.TOO_DARK if level < DARK_LEVEL else TamperKind.TOO_BRIGHT
        return TamperKind.TOO_BLURRY if detail < BLURRED_TO * usual else TamperKind.GLOBAL_SCENE_CHANGE

    @staticmethod
    def _holds_s(kind: TamperKind) -> float:
        return FROZEN_AFTER_S if kind == TamperKind.SIGNAL_LOSS else FEATURELESS_AFTER_S

    def _maybe_over(self, kind: TamperKind | None, wall_s: float) -> TamperChange | None:
        if kind is not None:
            self._good_since_s = None
            return None
        self._good_since_s = wall_s if self._good_since_s is None else self._good_since_s
        if wall_s - self._good_since_s < CLEAR_AFTER_S:
            return None
        over, self._active = self._active, None
        return None if over is None else TamperChange(over, False, self._good_since_s)
