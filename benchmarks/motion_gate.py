"""The motion gate on real footage: which alarms it changes, and how many frames it leaves out.

python -m benchmarks.motion_gate [--budget 1/day]

Each camera of the labelled footage is learned as a new user would, and its other recordings are watched twice by the same
configuration, with ``gate: off`` and with ``gate: motion``; so are things that are planted into quiet ones, and into a scene in
which nothing moves at all: one picture through a noisy sensor. A frame that is left out has the result of the one before, and
an alarm is the same if it begins and ends within a frame of where it did.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.footage_alarms import FOOTAGE, RATE_HZ, Camera, Span, Watched, learned_cameras
from benchmarks.results import Figure, record
from benchmarks.scenes_made_hard import Clip, planted, read_clip, thing_of, write_clip
from streamwatch.clock import SystemClock
from streamwatch.video.optical_flow import DEFAULT_STEP_S
from streamwatch.video.pace import Pace
from streamwatch.video.reader import FrameReader
from streamwatch.video.sources import parse_source
from streamwatch.video.streams.opener import PyAvOpener

THINGS = (("stands", 0.22, False, 1.0), ("crosses, small", 0.07, True, 1.0), ("stands, low contrast", 0.22, False, 0.4))
"""Planted where little else moves: what, its share of the picture's height, whether it crosses, its contrast."""
QUIET_SITES = ("front", "one")
STILL_FRAMES, SENSOR_NOISE = 500, 3.0


@dataclass(frozen=True)
class Compared:
    """A recording that was watched twice.

    Attributes:
        left_out: share of its frames that the gate leaves out.
    """

    site: str
    what: str
    left_out: float
    off: tuple[Span, ...]
    motion: tuple[Span, ...]

    @property
    def same(self) -> bool:
        """Whether each alarm begins and ends where it did, within a frame."""
        near = 1.01 / RATE_HZ
        pairs = zip(self.off, self.motion, strict=False)
        return len(self.off) == len(self.motion) and all(
            abs(a[0] - b[0]) <= near and abs(a[1] - b[1]) <= near for a, b in pairs
        )


def left_out(clip: Path) -> float:
    """Share of a recording's frames in which the gate sees no change."""
    reader = FrameReader(
        "cam",
        parse_source(str(clip)),
        opener=PyAvOpener(),
        clock=SystemClock(),
        pace=Pace(RATE_HZ, gated=True),
        motion_step_s=DEFAULT_STEP_S,
    )
    still = [bool(frame.still) for frame in reader.frames()]
    return sum(still) / len(still)


def compared(camera: Camera, what: str, clip: Path) -> Compared:
    """Watch a recording with the gate off, and with it on."""
    frames, rate_hz = read_clip(clip, at_most=10_000)
    watched = [_watched(camera, gate, what, clip, len(frames) / rate_hz).events for gate in ("off", "motion")]
    return Compared(camera.name, what, left_out(clip), watched[0], watched[1])


def _watched(camera: Camera, gate: str, what: str, clip: Path, duration_s: float) -> Watched:
    path = camera.folder / "site.yaml"
    document = json.loads(path.read_text())
    document["cameras"]["cam"]["gate"] = gate
    path.write_text(json.dumps(document))
    return camera.watch(what, clip, duration_s, [])


def all_compared(folder: Path, budget: str) -> Iterator[Compared]:
    """Every camera's recordings as they are, and those of quiet ones with things planted into them."""
    for camera, clips in learned_cameras(folder, budget):
        for kind, clip in clips.items():
            yield compared(camera, kind, clip)
        if camera.name in QUIET_SITES:
            yield from _planted(camera, *read_clip(clips["quiet"]))
    still = Camera("nothing moves", folder / "still", budget)
    still.folder.mkdir()
    still.fit([write_clip(still.folder / "learned.mp4", _still(STILL_FRAMES, 0), RATE_HZ)])
    watched = _still(STILL_FRAMES, 1)
    yield compared(still, "as it is", write_clip(still.folder / "quiet.mp4", watched, RATE_HZ))
    yield from _planted(still, watched, RATE_HZ)


def _still(frames: int, seed: int) -> Clip:
    """One real picture as a sensor would see it again and again."""
    picture, rng = read_clip(FOOTAGE / "bag_learn.mp4", at_most=1)[0][0].astype(np.float32), np.random.default_rng(seed)
    return [np.clip(picture + rng.normal(0, SENSOR_NOISE, picture.shape), 0, 255).astype(np.uint8) for _ in range(frames)]


def _planted(camera: Camera, pictures: Clip, rate_hz: float) -> Iterator[Compared]:
    strange = read_clip(FOOTAGE / "pets_learn.mp4")[0]
    for number, (what, share, crosses, contrast) in enumerate(THINGS):
        thing = thing_of(strange, int(share * pictures[0].shape[0]) // 2 * 2, number)
        clip = planted(pictures, thing, number, crosses=crosses, contrast=contrast)
        yield compared(camera, what, write_clip(camera.folder / "planted.mp4", clip, rate_hz))


def main() -> None:
    """Measure, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", default="1/day")
    arguments = parser.parse_args()
    found: list[Compared] = []
    with tempfile.TemporaryDirectory() as name:
        for one in all_compared(Path(name), arguments.budget):
            found.append(one)
            alarms = f"{len(one.off)} alarms, with the gate {len(one.motion)}"
            print(f"{one.site}, {one.what}: {one.left_out:.0%} left out; {alarms}; the same: {one.same}", flush=True)
            if not one.same:
                print("  ", one.off, "\n  ", one.motion, flush=True)
    record("motion_gate", "Motion gate", [*map(_figure, found), _summary(found)])


def _figure(one: Compared) -> Figure:
    return Figure(f"{one.site}, {one.what}: frames left out; alarms without and with", _value(one))


def _value(one: Compared) -> str:
    return f"{one.left_out:.0%}; {len(one.off)} and {len(one.motion)}{'' if one.same else ', at other times'}"


def _summary(found: list[Compared]) -> Figure:
    changed = sum(not one.same for one in found)
    return Figure("Recordings whose alarms change", changed, f"of {len(found)}", "0")


if __name__ == "__main__":
    main()
