"""Footage to measure on: a scene of any size that moves, and a model that has learned it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from streamwatch.clock import SystemClock
from streamwatch.inference.engine import Engine
from streamwatch.learning.fit import FitResult, learn_scene
from streamwatch.learning.footage import Footage
from streamwatch.records import UInt8Array
from streamwatch.video.sources import parse_source
from streamwatch.video.streams.opener import PyAvOpener

LEARNED_S = 40.0
_LEARNED_HZ = 10.0
_TILES = (15, 20)
_SWING_S = 8.0


@dataclass(frozen=True)
class Camera:
    """What a measured camera sends.

    Attributes:
        rate_hz: pictures that it sends in a second.
    """

    width: int
    height: int
    rate_hz: float

    def __post_init__(self) -> None:
        if self.width < 2 or self.height < 2 or self.width % 2 or self.height % 2 or not self.rate_hz > 0:
            raise ValueError(f"a camera sends even sizes and a positive rate, not {self}")


def pictures(camera: Camera, count: int, seed: int = 0) -> Iterator[UInt8Array]:
    """(height, width, 3) RGB: a textured place in which a square goes to and fro, with the noise of a sensor."""
    rng, (height, width) = np.random.default_rng(seed), (camera.height, camera.width)
    tiles = np.random.default_rng(0).integers(60, 180, (*_TILES, 3), dtype=np.uint8)
    rows, columns = np.arange(height) * _TILES[0] // height, np.arange(width) * _TILES[1] // width
    place = tiles[rows][:, columns]
    side = max(height // 5, 2)
    noise = rng.normal(0, 2, (height, width, 1)).astype(np.float32)
    for number in range(count):
        picture = place.copy()
        at = round((width - side) * (0.5 + 0.45 * np.sin(2 * np.pi * number / (_SWING_S * camera.rate_hz))))
        picture[height // 3 : height // 3 + side, at : at + side] = (30, 30, 200)
        shifted = np.roll(noise, (7 * number) % height, axis=0)  # as good as new noise, and nothing to draw
        yield np.clip(picture + shifted, 0, 255).astype(np.uint8)


def write_clip(path: Path, camera: Camera, duration_s: float, seed: int = 0) -> Path:
    """H.264 as cameras send it: no B-frames, a key frame every two seconds."""
    keys = {"g": str(max(round(2 * camera.rate_hz), 1)), "bf": "0", "preset": "veryfast", "crf": "23"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(camera.rate_hz).limit_denominator(1000), options=keys)
        stream.width, stream.height, stream.pix_fmt = camera.width, camera.height, "yuv420p"
        for picture in pictures(camera, max(round(duration_s * camera.rate_hz), 2), seed):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def learn(folder: Path, engine: Engine) -> FitResult:
    """A model of the scene, of both fields, from 40 s of it."""
    normal = write_clip(folder / "normal.mp4", Camera(640, 480, _LEARNED_HZ), LEARNED_S, seed=1)
    footage = Footage((parse_source(str(normal)),), fps=_LEARNED_HZ, features="both")
    return learn_scene(footage, engine, opener=PyAvOpener(), clock=SystemClock())
