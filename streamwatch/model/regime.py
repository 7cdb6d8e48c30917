"""Day, infrared night, darkness: which of a camera's scenes a picture shows, told from the picture itself.

At dusk a camera switches its infrared filter and its picture loses all colour from one frame to the next: to a model of the
day that is a change of the whole scene. So a camera may hold a model for each regime. A regime is told by two figures that
no thing in the scene moves, however large: medians and quartiles over the picture, not means.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from streamwatch.records import UInt8Array

DAY, GREY, DARK = "day", "grey", "dark"
REGIMES = (DAY, GREY, DARK)
"""In colour; without colour (infrared light, or a camera without colour); dark, with or without."""
GREY_BELOW, COLOUR_ABOVE = 4.0, 8.0
"""Grey levels of chroma that a quarter of the picture exceeds. A courtyard by day has 59, a grey plaza coded as colour 2.2."""
DARK_BELOW, LIGHT_ABOVE = 30.0, 50.0
"""Median grey level. ONVIF's ImageTooDark begins at 40 (``events.tamper``)."""
SWITCH_AFTER_S = 5.0
"""How long another regime must hold: head-lights and a lightning are no day."""


@dataclass(frozen=True, slots=True)
class ImageStatistics:
    """How a picture looks.

    Attributes:
        brightness: median grey level, 0..255.
        colourfulness: the chroma that a quarter of the picture exceeds, in grey levels: the length of (R - G, (R + G) / 2 - B),
            the opponent axes of Hasler and Süsstrunk 2003, "Measuring colourfulness in natural images".
    """

    brightness: float
    colourfulness: float


def image_statistics(pixels: UInt8Array) -> ImageStatistics:
    """The look of a model input (256, 256, 3) RGB, on every fourth pixel of each axis."""
    red, green, blue = np.moveaxis(pixels[::4, ::4].astype(np.float32), -1, 0)
    chroma = np.hypot(red - green, 0.5 * (red + green) - blue)
    return ImageStatistics(float(np.median((red + green + blue) / 3)), float(np.quantile(chroma, 0.75)))


def regime_of(statistics: ImageStatistics, before: str | None) -> str:
    """The regime of a picture, given the one before: between two limits it stays; without one the middle decides."""
    dark_at = {None: (DARK_BELOW + LIGHT_ABOVE) / 2, DARK: LIGHT_ABOVE}.get(before, DARK_BELOW)
    if statistics.brightness < dark_at:
        return DARK
    grey_at = {None: (GREY_BELOW + COLOUR_ABOVE) / 2, GREY: COLOUR_ABOVE}.get(before, GREY_BELOW)
    return GREY if statistics.colourfulness < grey_at else DAY


class RegimeSwitch:
    """Follows one camera's regime: another one must hold for 5 s.

    Args:
        start: the regime it is in; None takes the first picture's.
        told_apart: the regimes that matter; a picture of another one says nothing.
    """

    def __init__(self, start: str | None = None, told_apart: Collection[str] = REGIMES) -> None:
        self._regime = start
        self._told_apart = told_apart
        self._other: str | None = None
        self._other_since_s = 0.0

    @property
    def settled(self) -> str | None:
        """The regime, unless the last picture showed another one."""
        return None if self._other else self._regime

    def observe(self, pixels: UInt8Array, at_s: float) -> str | None:
        """Take a model input; the new regime, if it has just changed.

        Args:
            at_s: when, in seconds; the first picture of a ``RegimeSwitch`` without a start changes nothing.
        """
        return self.follow(image_statistics(pixels), at_s)

    def follow(self, statistics: ImageStatistics, at_s: float) -> str | None:
        """The same of a picture whose look is known."""
        found = regime_of(statistics, self._regime)
        if found not in self._told_apart:
            self._other = None
            return None
        if self._regime is None:
            self._regime = found
        if found == self._regime:
            self._other = None
            return None
        if found != self._other:
            self._other, self._other_since_s = found, at_s
        if at_s - self._other_since_s < SWITCH_AFTER_S:
            return None
        self._regime, self._other = found, None
        return found


class RegimeSorter:
    """Picks one regime's frames out of footage, and counts the others'; what is between two is neither's."""

    def __init__(self, wanted: str | None = None) -> None:
        self.wanted = wanted
        self.counts: dict[str, int] = {}
        self._switch = RegimeSwitch()

    @property
    def usual(self) -> str | None:
        """The regime that most frames were of."""
        return max(self.counts, key=lambda regime: self.counts[regime], default=None)

    def others(self) -> dict[str, int]:
        """Frames of every other regime that came by."""
        return {regime: count for regime, count in self.counts.items() if regime != self.wanted}

    def takes(self, pixels: UInt8Array, at_s: float) -> bool:
        """Whether a frame is of the wanted regime; without one, the first frame's is wanted."""
        return self.sorts(image_statistics(pixels), at_s)

    def sorts(self, statistics: ImageStatistics, at_s: float) -> bool:
        """The same of a frame whose look is known."""
        self._switch.follow(statistics, at_s)
        regime = self._switch.settled
        if regime is None:
            return False
        self.counts[regime] = self.counts.get(regime, 0) + 1
        self.wanted = self.wanted or regime
        return regime == self.wanted
