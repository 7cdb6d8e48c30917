"""The demo's two videos: a normal day, and a day with three things that do not belong."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from streamwatch.demo.actors import AbandonedBag, Actor, Cyclist, Vehicle, stroll
from streamwatch.demo.place import HEIGHT_PX, WIDTH_PX, render_place, to_picture
from streamwatch.records import UInt8Array

FPS = 5
NORMAL_S = 120.0
WATCHED_S = 54.0
_WALKERS_PER_MINUTE = 38.0


@dataclass(frozen=True, slots=True)
class Planted:
    """Something that was put into the watched video on purpose, visible in [start_s, end_s]."""

    cause: str
    start_s: float
    end_s: float


PLANTED = (
    Planted("a van drives where people walk", 10.0, 16.0),
    Planted("somebody cycles across the lawn", 23.0, 28.0),
    Planted("a suitcase is left behind", 36.0, 48.0),
)


def anomalous_actors() -> list[Actor]:
    """The actors of ``PLANTED``."""
    van, cyclist, bag = PLANTED
    return [
        Vehicle(van.start_s, van.end_s),
        Cyclist(cyclist.start_s, cyclist.end_s),
        AbandonedBag(bag.start_s, bag.end_s),
    ]


def light_at(time_s: float, phase: float) -> float:
    """Gain of the light: clouds pass, slowly."""
    return 1.0 + 0.06 * math.sin(2 * math.pi * time_s / 37 + phase) + 0.03 * math.sin(2 * math.pi * time_s / 11)


def render(duration_s: float, seed: int, extra: Sequence[Actor] = ()) -> Iterator[UInt8Array]:
    """Pictures of the place for a while, people on the path, ``extra`` among them."""
    place = render_place(np.random.default_rng(7))
    rng = np.random.default_rng(seed)
    phase = float(rng.uniform(0, 2 * math.pi))
    actors: list[Actor] = [*stroll(rng, duration_s, _WALKERS_PER_MINUTE), *extra]
    for number in range(round(duration_s * FPS)):
        time_s = number / FPS
        image = place.copy()
        for actor in sorted(actors, key=lambda a: getattr(a, "ground_px", 0.0)):
            actor.draw(image, time_s)
        yield to_picture(image, light_at(time_s, phase), rng)


def write_video(path: Path, pictures: Iterator[UInt8Array]) -> None:
    """Encode pictures as H.264 in MP4 at FPS frames per second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "21", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = WIDTH_PX, HEIGHT_PX, "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
