"""UCSD Ped1 and Ped2 as distributed (Mahadevan et al. 2010): Train/TrainNNN/*.tif, Test/TestNNN/*.tif, TestNNN_gt/*.bmp."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from streamwatch.errors import UsageError
from streamwatch.evaluation.datasets.dataset import Dataset, PictureMasks, SceneData, TestClip, Truth
from streamwatch.video.folders import in_order, visible_files
from streamwatch.video.sources import parse_source

LAYOUT = "Train/TrainNNN/*.tif, Test/TestNNN/*.tif and Test/TestNNN_gt/*.bmp (or a UCSDped*.m with gt_frame ranges)"
FRAME_RATE_HZ = 10.0
_RANGES = re.compile(r"gt_frame\s*=\s*\[([^\]]*)\]")


def load_ucsd(root: Path) -> Dataset:
    """Find the clips under ``root`` as one scene.

    Raises:
        UsageError: ``root`` does not have the layout.
    """
    train = in_order(p for p in (root / "Train").glob("Train[0-9]*") if p.is_dir())
    test = in_order(p for p in (root / "Test").glob("Test[0-9]*") if p.is_dir() and not p.name.endswith("_gt"))
    if not train or not test:
        found = ", ".join(sorted(p.name for p in root.iterdir())[:6]) if root.is_dir() else "no such folder"
        raise UsageError(f"not UCSD Ped1 or Ped2: expected {LAYOUT}, found {found}", where=root, hint="give its root folder")
    problems: list[str] = []
    ranges = _frame_ranges(root)
    clips = tuple(_clip(folder, ranges.get(number), problems) for number, folder in enumerate(test))
    training = tuple(parse_source(str(p), frame_rate_hz=FRAME_RATE_HZ) for p in train)
    return Dataset("ucsd", root, (SceneData(root.name, training, clips, FRAME_RATE_HZ),), tuple(problems))


def _frame_ranges(root: Path) -> dict[int, str]:
    """The n-th clip's gt_frame expression, as UCSDped*.m has it."""
    for path in sorted((root / "Test").glob("*.m")):
        return dict(enumerate(_RANGES.findall(path.read_text(errors="replace"))))
    return {}


def _clip(folder: Path, expression: str | None, problems: list[str]) -> TestClip:
    source = parse_source(str(folder), frame_rate_hz=FRAME_RATE_HZ)
    frames = sum(len(segment.images) for segment in source.segments)
    masks = tuple(visible_files(folder.with_name(f"{folder.name}_gt"), "*.bmp"))
    if masks and len(masks) != frames:
        problems.append(f"clip {folder.name}: {frames} frames, but {len(masks)} masks: it counts in no figure")
        return TestClip(folder.name, source, None)
    if masks:
        pictures = PictureMasks(masks)
        labels = np.array([pictures[i].any() for i in range(frames)])
        return TestClip(folder.name, source, Truth(labels, pictures))
    if expression is None:
        problems.append(f"clip {folder.name}: no masks and no gt_frame range: it counts in no figure")
        return TestClip(folder.name, source, None)
    problems.append(f"clip {folder.name}: no masks: it counts in the frame figures only")
    return TestClip(folder.name, source, Truth(labels_of(expression, frames), None))


def labels_of(expression: str, frames: int) -> np.ndarray:
    """MATLAB ranges like ``61:180, 200:210``, counted from 1, as (frames,) labels."""
    labels = np.zeros(frames, dtype=bool)
    for part in re.split(r"[,\s]+", expression.strip()):
        first, _, last = part.partition(":")
        if first:
            labels[int(first) - 1 : int(last or first)] = True
    return labels
