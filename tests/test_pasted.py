"""Things pasted into real footage: which field finds which. The overlays lie in pytest's folder, to be looked at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from streamwatch.clock import SystemClock
from streamwatch.inference.engine import Engine, WatchedScene
from streamwatch.inference.factory import build_engine
from streamwatch.inference.offline import score_frames
from streamwatch.learning.fit import learn_scene
from streamwatch.learning.footage import Footage
from streamwatch.model.embedding.identity import BackboneSpec
from streamwatch.model.scene import SceneModel
from streamwatch.records import Frame, UInt8Array
from streamwatch.video.output import OverlayStyle
from streamwatch.video.overlay import write_picture
from streamwatch.video.reader import FrameReader, RetentionOptions
from streamwatch.video.sources import parse_source
from streamwatch.video.streams.opener import PyAvOpener
from tests.conftest import QUICK_PRECISION, encode, read_moving, shared_file

pytestmark = [pytest.mark.long, pytest.mark.slow(90)]

NORMAL_LEVEL = 3.0
"""A tail of 3 is one value in a thousand."""


@dataclass(frozen=True)
class Scene:
    """A real video, where things can be pasted (fractions of the picture), and how large."""

    file: str
    path_y: float
    still_at: tuple[float, float]
    size: tuple[float, float]
    motion_step_s: float


SCENES = (
    Scene("courtyard.avi", 0.62, (0.25, 0.8), (0.10, 0.20), 0.2),
    Scene("plaza.avi", 0.55, (0.3, 0.6), (0.035, 0.15), 0.08),  # small in a wide view: see docs/method.md
)
SCENE_RATE = {"courtyard.avi": 10, "plaza.avi": 25}
"""Pictures per second; the plaza's file says 50 and means fields."""


@dataclass(frozen=True)
class LearnedScene:
    """A scene, its model, and pictures that the model has not seen."""

    scene: Scene
    engine: Engine
    model: SceneModel
    rest: list[UInt8Array]
    rate: int

    def reader(self, video: Path) -> FrameReader:
        return FrameReader(
            "cam",
            parse_source(str(video)),
            opener=PyAvOpener(),
            clock=SystemClock(),
            retention=RetentionOptions(pictures=True),
            motion_step_s=self.scene.motion_step_s,
        )

    @property
    def walking(self) -> float:
        """How fast people usually walk at the height of the path, in widths of the picture per second."""
        row = int(64 * self.scene.path_y)
        frames = read_moving(shared_file(self.scene.file))[: 4 * self.rate]
        peaks = [float(np.quantile(f.speed[row - 6 : row + 6], 0.995)) for f in frames if f.speed is not None]
        return float(np.median(peaks)) / 256


def thing(height: int, width: int) -> UInt8Array:
    """A box with a few large blocks of colour."""
    small = np.random.default_rng(3).integers(10, 245, (3, 3, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST), dtype=np.uint8)


def pasted(pictures: list[UInt8Array], scene: Scene, speed: float, fps: int) -> Iterator[UInt8Array]:
    """``speed`` in widths of the picture per second; 0 puts it down at ``still_at``."""
    for number, picture in enumerate(pictures):
        height, width = picture.shape[:2]
        h, w = round(scene.size[1] * height), round(scene.size[0] * width)
        x, y = left_edge(scene, speed, number / fps), scene.path_y if speed else scene.still_at[1]
        left, top = round(x * width), round(y * height)
        out = picture.copy()
        out[top : top + h, left : left + w] = thing(h, w)
        yield out


def left_edge(scene: Scene, speed: float, time_s: float) -> float:
    """Where the thing is, as a fraction of the width; it crosses the picture again and again."""
    return (0.05 + speed * time_s) % (0.95 - scene.size[0]) if speed else scene.still_at[0]


@pytest.fixture(scope="module", params=SCENES, ids=lambda scene: scene.file)
def learned(request: pytest.FixtureRequest) -> LearnedScene:
    """A model of the first 60 % of a scene, and the pictures of the rest."""
    scene: Scene = request.param
    source = parse_source(str(shared_file(scene.file)))
    with av.open(source.label) as container:
        pictures = [np.asarray(f.to_ndarray(format="rgb24"), dtype=np.uint8) for f in container.decode(video=0)]
    at = round(0.6 * len(pictures))
    engine = build_engine(BackboneSpec(weights="untrained"), device="cpu", precision=QUICK_PRECISION)
    rate = SCENE_RATE[scene.file]
    footage = Footage((source,), features="both", limit_s=at / rate, motion_step_s=scene.motion_step_s)
    model = learn_scene(footage, engine, opener=PyAvOpener(), clock=SystemClock()).model
    engine.watch("cam", WatchedScene(model))
    return LearnedScene(scene, engine, model, pictures[at : at + 3 * rate], rate)


def levels_on_it(learned: LearnedScene, frames: list[Frame], speed: float) -> dict[str, float]:
    """What each field says of the thing: the median over frames of its highest tail in the thing's cells."""
    fusion, scene = learned.model.fusion_, learned.scene
    assert fusion
    found: dict[str, list[float]] = {"appearance": [], "motion": []}
    maps = [m for k in range(0, len(frames), 16) for m in learned.engine.field_maps(frames[k : k + 16])]
    for frame, fields in zip(frames, maps, strict=True):
        y, x = scene.path_y if speed else scene.still_at[1], left_edge(scene, speed, frame.time_s)
        rows, columns = (slice(int(64 * a), int(64 * (a + b)) + 1) for a, b in ((y, scene.size[1]), (x, scene.size[0])))
        tails = fusion.tails(fields)
        for name, grid in (("appearance", tails.appearance), ("motion", tails.motion)):
            if grid is not None:
                found[name].append(float(grid[rows, columns].max()))
    return {name: round(float(np.median(values)), 1) for name, values in found.items()}


@pytest.mark.parametrize("name", ["fast", "still"])
def test_motion_finds_the_fast_and_appearance_the_still(learned: LearnedScene, name: str, tmp_path: Path) -> None:
    scene = learned.scene
    speed = 3 * learned.walking if name == "fast" else 0.0
    video = encode(tmp_path / f"{name}.mp4", pasted(learned.rest, scene, speed, learned.rate), fps=learned.rate)
    frames = list(learned.reader(video).frames())
    found = levels_on_it(learned, frames, speed)
    assert learned.model.calibration_
    threshold = learned.model.calibration_.start_threshold
    style = OverlayStyle(0.75 * learned.model.calibration_.end_threshold, 1.5 * threshold, threshold)
    scored = list(score_frames(learned.engine, frames))
    write_picture(str(tmp_path / f"{name}.png"), style.draw(scored[learned.rate]))
    print(f"\n{scene.file}, {name} ({speed:.2f} widths/s): {found}; {tmp_path / name}.png")
    assert max(s.level for s in scored) > threshold
    if name == "fast":
        assert found["motion"] > NORMAL_LEVEL
    else:
        assert found["appearance"] > NORMAL_LEVEL > found["motion"]
