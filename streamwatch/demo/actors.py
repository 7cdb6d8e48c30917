"""Who and what moves through the place."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from streamwatch.demo.place import PATH_BOTTOM_PX, PATH_TOP_PX, WIDTH_PX, FloatImage

Colour = tuple[float, float, float]
_SKIN: Colour = (196, 150, 120)
_CLOTHES: tuple[Colour, ...] = ((70, 80, 120), (120, 60, 60), (60, 60, 66), (150, 140, 120), (60, 100, 90), (110, 110, 116))


class Actor(Protocol):
    """Something that may be in the picture."""

    def draw(self, image: FloatImage, time_s: float) -> None:
        """Draw it as it stands at ``time_s``; nothing if it is not there."""
        ...


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody crossing the picture at a constant speed, larger the nearer (the lower) they are.

    Attributes:
        enter_s: when they enter at the edge they come from.
        speed_px_s: signed; negative walks to the left.
        ground_px: height in the picture of the ground they walk on.
    """

    enter_s: float
    speed_px_s: float
    ground_px: float
    top: Colour
    legs: Colour
    strides_per_s: float = 1.8

    def draw(self, image: FloatImage, time_s: float) -> None:
        """Draw them while they are between the edges."""
        start_px = -20 if self.speed_px_s > 0 else WIDTH_PX + 20
        x = start_px + self.speed_px_s * (time_s - self.enter_s)
        if time_s < self.enter_s or not -20 <= x <= WIDTH_PX + 20:
            return
        size = 0.26 * (self.ground_px - 60)
        self._draw_body(image, x, size, math.sin(2 * math.pi * self.strides_per_s * time_s))

    def _draw_body(self, image: FloatImage, x: float, size: float, swing: float) -> None:
        ground = self.ground_px
        hip, shoulder = ground - 0.48 * size, ground - 0.84 * size
        _ellipse(image, (x, ground), (0.26 * size, 0.05 * size), (96, 92, 86))
        for side in (1, -1):
            foot = (x + side * swing * 0.24 * size, ground)
            _limb(image, (x, hip), foot, self.legs, max(2, round(0.10 * size)))
            hand = (x - side * swing * 0.18 * size, hip)
            _limb(image, (x, shoulder + 0.05 * size), hand, self.top, max(1, round(0.06 * size)))
        _ellipse(image, (x, (hip + shoulder) / 2), (0.13 * size, 0.22 * size), self.top)
        _ellipse(image, (x, ground - 0.93 * size), (0.07 * size, 0.085 * size), _SKIN)


@dataclass(frozen=True, slots=True)
class Cyclist:
    """Somebody on a bicycle, from the left edge to the right one."""

    enter_s: float
    leave_s: float
    ground_px: float = 205.0
    top: Colour = (250, 120, 20)

    def draw(self, image: FloatImage, time_s: float) -> None:
        """Draw them while they are there."""
        if not self.enter_s <= time_s <= self.leave_s:
            return
        share = (time_s - self.enter_s) / (self.leave_s - self.enter_s)
        x, ground, size = -40 + share * (WIDTH_PX + 80), self.ground_px, 0.3 * (self.ground_px - 60)
        hub, saddle = ground - 0.2 * size, ground - 0.55 * size
        for side in (1, -1):
            cv2.circle(image, (round(x + 0.45 * side * size), round(hub)), round(0.2 * size), (40, 40, 44), 2, cv2.LINE_AA)
        _limb(image, (x - 0.45 * size, hub), (x, saddle), (150, 40, 40), 2)
        _limb(image, (x, saddle), (x + 0.45 * size, hub), (150, 40, 40), 2)
        _limb(image, (x, saddle), (x + 0.1 * size, hub), (30, 30, 34), max(2, round(0.1 * size)))
        _ellipse(image, (x + 0.08 * size, ground - 0.75 * size), (0.16 * size, 0.24 * size), self.top)
        _ellipse(image, (x + 0.18 * size, ground - 1.03 * size), (0.08 * size, 0.09 * size), _SKIN)


@dataclass(frozen=True, slots=True)
class Vehicle:
    """A delivery van where only people walk."""

    enter_s: float
    leave_s: float
    ground_px: float = 306.0

    def draw(self, image: FloatImage, time_s: float) -> None:
        """Draw it while it is there."""
        if not self.enter_s <= time_s <= self.leave_s:
            return
        share = (time_s - self.enter_s) / (self.leave_s - self.enter_s)
        x, y = round(-150 + share * (WIDTH_PX + 150)), round(self.ground_px)
        cv2.rectangle(image, (x, y - 84), (x + 104, y - 12), (214, 212, 206), -1)
        cv2.rectangle(image, (x + 104, y - 60), (x + 142, y - 12), (202, 200, 194), -1)
        cv2.rectangle(image, (x + 110, y - 56), (x + 136, y - 36), (60, 76, 92), -1)
        cv2.rectangle(image, (x, y - 44), (x + 104, y - 34), (176, 52, 40), -1)
        for wheel in (x + 26, x + 114):
            cv2.circle(image, (wheel, y - 10), 13, (34, 34, 36), -1, cv2.LINE_AA)
            cv2.circle(image, (wheel, y - 10), 5, (130, 130, 130), -1, cv2.LINE_AA)


@dataclass(frozen=True, slots=True)
class AbandonedBag:
    """A suitcase that is put down and stays."""

    enter_s: float
    leave_s: float
    x_px: float = 236.0
    ground_px: float = 262.0

    def draw(self, image: FloatImage, time_s: float) -> None:
        """Draw it while it is there."""
        if not self.enter_s <= time_s <= self.leave_s:
            return
        x, y = round(self.x_px), round(self.ground_px)
        cv2.rectangle(image, (x, y - 42), (x + 56, y), (226, 178, 24), -1)
        for stripe in (x + 14, x + 40):
            cv2.rectangle(image, (stripe, y - 42), (stripe + 4, y), (50, 44, 40), -1)
        cv2.rectangle(image, (x, y - 42), (x + 56, y), (60, 40, 18), 2)
        cv2.rectangle(image, (x + 20, y - 54), (x + 36, y - 42), (40, 36, 36), 2)


def stroll(rng: np.random.Generator, duration_s: float, per_minute: float) -> list[Person]:
    """People walking along the path for a while, some already on it at the start."""
    count = rng.poisson(per_minute * (duration_s + 15) / 60)
    return [_passer_by(rng, float(enter_s)) for enter_s in sorted(rng.uniform(-15, duration_s, count))]


def _passer_by(rng: np.random.Generator, enter_s: float) -> Person:
    speed = float(rng.uniform(38, 62)) * float(rng.choice((-1, 1)))
    ground = float(rng.uniform(PATH_TOP_PX + 22, PATH_BOTTOM_PX - 12))
    top, legs = (_CLOTHES[int(i)] for i in rng.integers(0, len(_CLOTHES), 2))
    return Person(enter_s, speed, ground, top, legs)


def _ellipse(image: FloatImage, centre: tuple[float, float], axes: tuple[float, float], colour: Colour) -> None:
    at, size = (round(centre[0]), round(centre[1])), (max(1, round(axes[0])), max(1, round(axes[1])))
    cv2.ellipse(image, at, size, 0, 0, 360, colour, -1, cv2.LINE_AA)


def _limb(image: FloatImage, a: tuple[float, float], b: tuple[float, float], colour: Colour, width: int) -> None:
    cv2.line(image, (round(a[0]), round(a[1])), (round(b[0]), round(b[1])), colour, width, cv2.LINE_AA)
