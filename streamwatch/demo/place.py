"""The place: a square with a building, a lawn and a path, textured and always the same."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from streamwatch.records import UInt8Array

WIDTH_PX, HEIGHT_PX = 640, 360
PATH_TOP_PX, PATH_BOTTOM_PX = 215, 330
HORIZON_PX = 110

FloatImage = npt.NDArray[np.float32]


def render_place(rng: np.random.Generator) -> FloatImage:
    """The empty scene as (360, 640, 3) float RGB, 0..255."""
    image = np.empty((HEIGHT_PX, WIDTH_PX, 3), np.float32)
    image[:HORIZON_PX] = (148, 138, 126)
    image[HORIZON_PX:] = (92, 122, 74)
    image[PATH_TOP_PX - 8 : PATH_BOTTOM_PX + 8] = (164, 158, 148)
    _draw_building(image, rng)
    _draw_paving(image)
    _draw_tree(image, 560, 150)
    _draw_lamp(image, 110)
    return np.asarray(np.clip(image + _texture(rng), 0, 255), dtype=np.float32)


def _texture(rng: np.random.Generator) -> FloatImage:
    """Noise in four octaves, as grass, stone and plaster have it."""
    total = np.zeros((HEIGHT_PX, WIDTH_PX), np.float32)
    for octave, strength in ((4, 7.0), (12, 6.0), (40, 5.0), (160, 5.0)):
        coarse = rng.normal(0, strength, (octave * 9 // 16 + 2, octave + 2)).astype(np.float32)
        total += cv2.resize(coarse, (WIDTH_PX, HEIGHT_PX), interpolation=cv2.INTER_CUBIC)
    return np.asarray(total[..., None], dtype=np.float32)


def _draw_building(image: FloatImage, rng: np.random.Generator) -> None:
    for row in range(2):
        for column in range(11):
            left, top = 22 + column * 56, 16 + row * 46
            shade = float(rng.uniform(55, 105))
            cv2.rectangle(image, (left, top), (left + 30, top + 30), (shade, shade + 8, shade + 20), -1)
            cv2.rectangle(image, (left, top), (left + 30, top + 30), (196, 190, 180), 2)
    cv2.rectangle(image, (300, 58), (340, HORIZON_PX), (84, 62, 48), -1)


def _draw_paving(image: FloatImage) -> None:
    for x in range(-200, WIDTH_PX + 200, 46):
        cv2.line(image, (x, PATH_TOP_PX - 8), (x + (x - 320) // 4, PATH_BOTTOM_PX + 8), (140, 134, 126), 1, cv2.LINE_AA)
    for y in (PATH_TOP_PX - 8, 248, 286, PATH_BOTTOM_PX + 8):
        cv2.line(image, (0, y), (WIDTH_PX, y), (136, 130, 122), 1, cv2.LINE_AA)


def _draw_tree(image: FloatImage, x: int, y: int) -> None:
    cv2.rectangle(image, (x - 5, y), (x + 5, y + 55), (86, 66, 50), -1)
    for dx, dy, radius in ((-22, 0, 24), (20, 4, 26), (0, -20, 30), (2, 10, 28)):
        cv2.circle(image, (x + dx, y + dy), radius, (58, 92, 50), -1, cv2.LINE_AA)


def _draw_lamp(image: FloatImage, x: int) -> None:
    cv2.rectangle(image, (x - 2, 70), (x + 2, 205), (60, 60, 64), -1)
    cv2.ellipse(image, (x, 68), (12, 6), 0, 0, 360, (220, 214, 190), -1, cv2.LINE_AA)


def to_picture(image: FloatImage, light: float, rng: np.random.Generator) -> UInt8Array:
    """What the camera makes of the scene: its light, and its sensor's noise (sigma 2.5 grey levels)."""
    noise = rng.standard_normal((HEIGHT_PX, WIDTH_PX), dtype=np.float32) * np.float32(2.5)
    lit = image * np.float32(light)
    lit += noise[..., None]
    return np.clip(lit, 0, 255, out=lit).astype(np.uint8)
