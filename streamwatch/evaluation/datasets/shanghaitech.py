"""ShanghaiTech Campus as distributed (Liu et al. 2018): 13 scenes, SS_CCC.avi to train on, SS_CCCC/NNN.jpg to test on."""

from __future__ import annotations

import statistics
from pathlib import Path

import numpy as np

from streamwatch.errors import SourceError, UsageError
from streamwatch.evaluation.datasets.dataset import ArrayMasks, Dataset, SceneData, TestClip, Truth
from streamwatch.learning.footage import probe
from streamwatch.video.folders import in_order
from streamwatch.video.sources import Source, parse_source
from streamwatch.video.streams.opener import Opener

LAYOUT = (
    "training/videos/SS_CCC.avi, testing/frames/SS_CCCC/NNN.jpg, "
    "testing/test_frame_mask/SS_CCCC.npy, testing/test_pixel_mask/SS_CCCC.npy"
)
_NOMINAL_RATE_HZ = 24.0


def load_shanghaitech(root: Path, opener: Opener, scenes: tuple[str, ...] = ()) -> Dataset:
    """Find the scenes under ``root``; what is missing or wrong becomes a problem of its scene or clip.

    Args:
        scenes: names to keep, like ``01``; all if empty.

    Raises:
        UsageError: ``root`` does not have the layout at all, or a named scene is not in it.
    """
    _require_layout(root)
    problems: list[str] = []
    names = sorted({_scene_of(p) for p in (*_videos(root), *_clips(root))})
    missing = sorted(set(scenes) - set(names))
    if missing:
        raise UsageError(f"no scene {', '.join(missing)}", where=root, hint=f"it has {', '.join(names)}")
    found = tuple(_scene(root, name, opener, problems) for name in names if not scenes or name in scenes)
    return Dataset("shanghaitech", root, found, tuple(problems))


def _require_layout(root: Path) -> None:
    if not root.is_dir():
        state = "is a file" if root.exists() else "does not exist"
        raise UsageError(f"{state}", where=root, hint=f"give the folder that holds {LAYOUT}")
    if not _videos(root) and not _clips(root):
        found = ", ".join(sorted(p.name for p in root.iterdir())[:6]) or "nothing"
        raise UsageError(f"not ShanghaiTech Campus: expected {LAYOUT}, found {found}", where=root, hint="give its root folder")


def _videos(root: Path) -> list[Path]:
    return in_order((root / "training/videos").glob("[0-9]*_*.avi"))


def _clips(root: Path) -> list[Path]:
    return in_order(p for p in (root / "testing/frames").glob("[0-9]*_*") if p.is_dir())


def _scene_of(path: Path) -> str:
    return path.name.partition("_")[0]


def _scene(root: Path, name: str, opener: Opener, problems: list[str]) -> SceneData:
    training, rates = _training(root, name, opener, problems)
    rate_hz = statistics.median(rates) if rates else _NOMINAL_RATE_HZ
    clips = tuple(_clip(root, p, rate_hz, problems) for p in _clips(root) if _scene_of(p) == name)
    if not training:
        problems.append(f"scene {name}: no readable training video: its {len(clips)} clip(s) count in no figure")
    if not clips:
        problems.append(f"scene {name}: no test clip: nothing to evaluate")
    return SceneData(name, training, clips, rate_hz)


def _training(root: Path, name: str, opener: Opener, problems: list[str]) -> tuple[tuple[Source, ...], list[float]]:
    """The scene's readable videos and their frame rates."""
    sources: list[Source] = []
    rates: list[float] = []
    for path in _videos(root):
        if _scene_of(path) != name:
            continue
        source = parse_source(str(path))
        try:
            extent = probe(source, opener)
        except SourceError as error:
            problems.append(f"scene {name}: {error}")
            continue
        sources.append(source)
        if extent.frames and extent.duration_s:
            rates.append(extent.frames / extent.duration_s)
    return tuple(sources), rates


def _clip(root: Path, folder: Path, rate_hz: float, problems: list[str]) -> TestClip:
    source = parse_source(str(folder), frame_rate_hz=rate_hz)
    frames = sum(len(segment.images) for segment in source.segments)
    masks = [root / f"testing/test_{kind}_mask/{folder.name}.npy" for kind in ("frame", "pixel")]
    return TestClip(folder.name, source, read_truth(folder.name, masks[0], masks[1], frames, problems))


def read_truth(name: str, frame_mask: Path, pixel_mask: Path, frames: int, problems: list[str]) -> Truth | None:
    """A clip's truth from its two .npy files, as far as they are there and fit."""
    labels = _array(name, frame_mask, problems)
    pixels = _array(name, pixel_mask, problems)
    if labels is None and pixels is None:
        problems.append(f"clip {name}: no frame mask and no pixel mask: it counts in no figure")
        return None
    if labels is None and pixels is not None:
        problems.append(f"clip {name}: no frame mask: frames are labelled by the pixel mask")
        labels = np.array([np.asarray(m).any() for m in pixels])
    if labels is None or len(labels) != frames or (pixels is not None and len(pixels) != frames):
        lengths = f"{'no' if labels is None else len(labels)} frame labels and {'no' if pixels is None else len(pixels)} masks"
        problems.append(f"clip {name}: {frames} frames, but {lengths}: it counts in no figure")
        return None
    if pixels is None:
        problems.append(f"clip {name}: no pixel mask: it counts in the frame figures only")
    return Truth(np.asarray(labels) > 0, None if pixels is None else ArrayMasks(pixel_mask))


def _array(name: str, path: Path, problems: list[str]) -> np.ndarray | None:
    if not path.is_file():
        return None
    try:
        return np.asarray(np.load(path, mmap_mode="r"))
    except (ValueError, OSError, EOFError):
        problems.append(f"clip {name}: {path.name} in {path.parent.name} is not a readable .npy file")
        return None
