"""Things planted into real footage, plain and hard to see, and nuisances that are no alarm; pure functions of pictures.

A thing is a soft-edged cut of other footage, never a flat colour. Pictures are (h, w, 3) RGB uint8; a clip is a list of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from streamwatch.records import Float32Array, UInt8Array

Clip = Sequence[UInt8Array]
PLANTED_FROM, PLANTED_TO = 0.35, 0.7
"""Share of the clip in which a thing is there, or a nuisance happens."""
LARGEST_PX = 640
LEAVES = 70


def read_clip(path: Path, rate_hz: float = 10.0, at_most: int = 1500) -> tuple[list[UInt8Array], float]:
    """Pictures at about a rate, no larger than 640 pixels, and their true rate."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        coded_hz = float(stream.average_rate or 25)
        step = max(1, round(coded_hz / rate_hz))
        pictures: list[UInt8Array] = []
        for number, frame in enumerate(container.decode(stream)):
            if number % step == 0:
                pictures.append(_scaled(np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8)))
            if len(pictures) == at_most:
                break
    return pictures, coded_hz / step


def _scaled(picture: UInt8Array) -> UInt8Array:
    """With even sides, as H.264 needs them."""
    factor = min(1.0, LARGEST_PX / max(picture.shape[:2]))
    height, width = (int(factor * side) // 2 * 2 for side in picture.shape[:2])
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def write_clip(path: Path, clip: Clip, rate_hz: float, *, crf: int = 17) -> Path:
    """H.264 in MP4; the same file each time."""
    with av.open(str(path), "w") as container:
        rate = Fraction(rate_hz).limit_denominator(1000)
        stream = container.add_stream("libx264", rate=rate, options={"crf": str(crf), "preset": "veryfast"})
        stream.height, stream.width = clip[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for picture in clip:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
        container.mux(stream.encode(None))
    return path


@dataclass(frozen=True)
class Thing:
    """A cut, (h, w, 3) float32, and its soft mask, (h, w, 1)."""

    cut: Float32Array
    mask: Float32Array


def thing_of(source: Clip, height_px: int, seed: int) -> Thing:
    """The busiest of 60 upright cuts of a clip's middle picture, as an oval of a height."""
    rng, picture = np.random.default_rng(seed), source[len(source) // 2]
    height, width = picture.shape[:2]
    corners = [(int(rng.integers(0, height - height // 4)), int(rng.integers(0, width - height // 6))) for _ in range(60)]
    cuts = [picture[y : y + height // 4, x : x + height // 6] for y, x in corners]
    size = (max(height_px * 2 // 3, 2), max(height_px, 2))
    cut = cv2.resize(max(cuts, key=lambda c: float(c.std())), size, interpolation=cv2.INTER_AREA).astype(np.float32)
    y, x = np.mgrid[-1 : 1 : size[1] * 1j, -1 : 1 : size[0] * 1j]
    mask = np.clip((1 - (x**2 + y**2) ** 1.5) * 4, 0, 1)[..., None].astype(np.float32)
    return Thing(np.asarray(cut, dtype=np.float32), mask)


def planted(clip: Clip, thing: Thing, seed: int, *, crosses: bool, contrast: float = 1.0) -> list[UInt8Array]:
    """The clip with the thing in it for a while, standing or crossing; a contrast below 1 lets the scene shine through."""
    rng, out = np.random.default_rng(seed), [picture.copy() for picture in clip]
    (height, width), (rows, columns) = clip[0].shape[:2], thing.cut.shape[:2]
    first, last = (int(share * len(clip)) for share in (PLANTED_FROM, PLANTED_TO))
    y, stands_at = int(rng.uniform(0.35, 0.8) * (height - rows)), int(rng.uniform(0.15, 0.75) * (width - columns))
    mask = contrast * thing.mask
    for number in range(first, last):
        x = int((width - columns) * (number - first) / max(last - first - 1, 1)) if crosses else stands_at
        part = out[number][y : y + rows, x : x + columns]
        part[:] = (mask * thing.cut + (1 - mask) * part).astype(np.uint8)
    return out


def at_night(clip: Clip, seed: int) -> list[UInt8Array]:
    """Infrared: grey, darker, and noisy."""
    rng = np.random.default_rng(seed)
    grey = (picture.astype(np.float32).mean(axis=2, keepdims=True).repeat(3, axis=2) * 0.55 for picture in clip)
    return [_clipped(picture + rng.normal(0, 5, (*picture.shape[:2], 1))) for picture in grey]


def behind_leaves(clip: Clip, seed: int, first: int = 0) -> list[UInt8Array]:
    """The clip seen through a tree whose leaves the wind moves, each at its own pace.

    Args:
        first: the clip's first picture is that many after the wind began, so that parts of a clip are one wind.
    """
    rng, (height, width) = np.random.default_rng(seed), clip[0].shape[:2]
    centres = rng.uniform((0.0, 0.0), (width, 0.75 * height), (LEAVES, 2))
    sizes, phases = rng.uniform(height / 40, height / 14, LEAVES), rng.uniform(0, 2 * np.pi, LEAVES)
    paces, green = rng.uniform(0.03, 0.12, LEAVES), rng.uniform((20, 40, 10), (60, 110, 40), (LEAVES, 3))
    out = []
    for number, picture in enumerate(clip, first):
        seen = picture.copy()
        gust = 1 + 0.7 * np.sin(number / 70)
        for centre, size, phase, pace, colour in zip(centres, sizes, phases, paces, green, strict=True):
            sway = 0.8 * size * gust * np.sin(2 * np.pi * pace * number + phase)
            at, axes = (int(centre[0] + sway), int(centre[1] + 0.3 * sway)), (int(size), int(size / 2.5))
            cv2.ellipse(seen, at, axes, 40 * np.sin(phase + pace * number), 0, 360, colour.tolist(), -1, cv2.LINE_AA)
        out.append(seen)
    return out


def _clipped(picture: Float32Array) -> UInt8Array:
    return np.asarray(np.clip(picture, 0, 255), dtype=np.uint8)


Change = Callable[[Float32Array, float, np.random.Generator], Float32Array]
"""A picture, how far the nuisance has come (0..1), and chance, to another picture."""


def _insect(picture: Float32Array, progress: float, _rng: np.random.Generator) -> Float32Array:
    """Something bright and out of focus crosses near the lens, three times."""
    height, width = picture.shape[:2]
    at = (int((3 * progress % 1) * width), int((0.3 + 0.2 * np.sin(9 * progress)) * height))
    glow = cv2.GaussianBlur(cv2.circle(np.zeros((height, width), np.float32), at, height // 16, 1.0, -1), (0, 0), height / 30)
    return picture + 150 * glow[..., None]


def _flicker(picture: Float32Array, _progress: float, rng: np.random.Generator) -> Float32Array:
    return picture * np.float32(rng.uniform(0.88, 1.12))


def _rain(picture: Float32Array, _progress: float, rng: np.random.Generator) -> Float32Array:
    height, width = picture.shape[:2]
    streaks = np.zeros((height, width), np.float32)
    for x, y in zip(rng.integers(0, width, 150).tolist(), rng.integers(0, height, 150).tolist(), strict=True):
        cv2.line(streaks, (x, y), (x + 1, y + height // 20), 1.0, 1)
    return picture + 35 * streaks[..., None]


def _shadow(picture: Float32Array, progress: float, _rng: np.random.Generator) -> Float32Array:
    """A cloud's edge passes."""
    x = np.linspace(0, 1, picture.shape[1], dtype=np.float32)
    shade = 1 - 0.3 / (1 + np.exp(-(progress * 1.6 - 0.3 - x) * 14))
    return np.asarray(picture * shade[None, :, None], dtype=np.float32)


def _exposure(picture: Float32Array, _progress: float, _rng: np.random.Generator) -> Float32Array:
    """The camera takes a step of its gain."""
    return picture * np.float32(1.2)


def _focus(picture: Float32Array, progress: float, _rng: np.random.Generator) -> Float32Array:
    """The lens hunts for a second, twice."""
    blur = 1.5 * abs(np.sin(2 * np.pi * progress))
    return picture if blur < 0.2 else np.asarray(cv2.GaussianBlur(picture, (0, 0), blur), dtype=np.float32)


NUISANCES: dict[str, Change] = {
    "insects": _insect,
    "flicker": _flicker,
    "rain": _rain,
    "shadow": _shadow,
    "exposure step": _exposure,
    "auto-focus": _focus,
}


def disturbed(clip: Clip, nuisance: str, seed: int) -> list[UInt8Array]:
    """The clip with a nuisance for a while."""
    rng, change = np.random.default_rng(seed), NUISANCES[nuisance]
    first, last = (int(share * len(clip)) for share in (PLANTED_FROM, PLANTED_TO))
    inside = range(first, last)
    return [
        _clipped(change(picture.astype(np.float32), (number - first) / len(inside), rng)) if number in inside else picture
        for number, picture in enumerate(clip)
    ]
