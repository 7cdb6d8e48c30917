"""How long and how much memory the whole of ShanghaiTech Campus takes on this machine, from a measured part of it."""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from streamwatch.clock import SystemClock
from streamwatch.evaluation.datasets.shanghaitech import load_shanghaitech
from streamwatch.evaluation.scene_run import Settings, evaluate_scene
from streamwatch.model.embedding.identity import BackboneSpec
from streamwatch.video.streams.opener import PyAvOpener
from tests.conftest import encode, moving_square

TRAINED_FRAMES = 12 * 5000  # the 12 scenes that have test clips, 5,000 frames each
TEST_FRAMES = 40_791
HOST_MEMORY_LIMIT_BYTES = 4 * 2**30
SIZE = (480, 856)


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One scene at the data set's own size: a training video, and a clip with truth."""
    root = tmp_path_factory.mktemp("street")
    for folder in ("training/videos", "testing/frames/01_0001", "testing/test_frame_mask", "testing/test_pixel_mask"):
        (root / folder).mkdir(parents=True)
    encode(root / "training/videos/01_001.avi", moving_square(192, SIZE), fps=24)
    masks = np.zeros((96, *SIZE), np.uint8)
    masks[48:, 100:200, 300:420] = 1
    for number, picture in enumerate(moving_square(96, SIZE)):
        if number >= 48:
            picture[100:200, 300:420] = (240, 230, 20)
        cv2.imwrite(str(root / f"testing/frames/01_0001/{number:03d}.jpg"), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    np.save(root / "testing/test_frame_mask/01_0001.npy", masks.any(axis=(1, 2)))
    np.save(root / "testing/test_pixel_mask/01_0001.npy", masks)
    return root


@pytest.mark.alone
def test_the_whole_data_set_is_projected(street: Path) -> None:
    (scene,) = load_shanghaitech(street, PyAvOpener()).scenes
    marks: list[tuple[float, int]] = []
    began_s = time.perf_counter()
    settings = Settings(BackboneSpec(weights="untrained"), device="auto")
    result = evaluate_scene(
        scene,
        settings,
        opener=PyAvOpener(),
        clock=SystemClock(),
        on_frames=lambda frames: marks.append((time.perf_counter() - began_s, frames)),
    )
    done = np.cumsum([frames for _, frames in marks])
    at = np.array([seconds for seconds, _ in marks])
    learning = 192 / float(np.interp(192, done, at))
    scoring = 96 / (at[-1] - float(np.interp(192, done, at)))
    hours = (TRAINED_FRAMES / learning + TEST_FRAMES / scoring) / 3600
    regions = sum(row.nbytes for rows in (result.regions.detected if result.regions else {}).values() for row in rows)
    histograms = sum(counts.nbytes for counts in (result.pixels.normal, result.pixels.anomalous, result.pixels.coverage))
    grown = TEST_FRAMES * (regions / 48 + 8 * 3) + 13 * histograms
    print(
        f"\nSTC: learning {learning:.1f} frames/s, scoring with all figures {scoring:.1f} frames/s: {hours:.1f} h for "
        f"{TRAINED_FRAMES} training and {TEST_FRAMES} test frames; {grown / 2**20:.0f} MiB of counts at the end"
    )
    assert result.frames == 96
    assert result.pixels.auroc() is not None
    assert grown < HOST_MEMORY_LIMIT_BYTES
