"""CUHK Avenue as distributed (Lu et al. 2013): training_videos/NN.avi, testing_videos/NN.avi, and the masks in N_label.mat."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy import io

from streamwatch.errors import SourceError, UsageError
from streamwatch.evaluation.datasets.dataset import Dataset, Mask, SceneData, TestClip, Truth
from streamwatch.learning.footage import probe
from streamwatch.retry import caught
from streamwatch.video.folders import in_order
from streamwatch.video.sources import Source, parse_source
from streamwatch.video.streams.opener import Opener

LAYOUT = "training_videos/NN.avi, testing_videos/NN.avi and ground_truth_demo/testing_label_mask/N_label.mat"
FRAME_RATE_HZ = 25.0
_INNER = "Avenue Dataset"
_MASKS = ("ground_truth_demo/testing_label_mask", "testing_label_mask")


@dataclass(frozen=True)
class MatlabMasks:
    """The masks of one clip: ``volLabel`` in a MATLAB file (version 5), one (H, W) array per frame.

    MATLAB's cells are read all at once, a few hundred megabytes; the last clip's are kept.
    """

    path: Path

    def __len__(self) -> int:
        return len(_cells(self.path))

    def __getitem__(self, index: int) -> Mask:
        return np.asarray(_cells(self.path)[index]) > 0

    @property
    def files(self) -> tuple[Path, ...]:
        """The one file."""
        return (self.path,)


@lru_cache(maxsize=1)
def _cells(path: Path) -> list[Any]:
    """(T,) arrays; raises ValueError if the file holds none.

    Of a damaged file SciPy raises whatever its parts do: zlib.error, IndexError, even UnboundLocalError.
    """
    read: list[Any] = []
    failure = caught(lambda: read.append(io.loadmat(path, variable_names=["volLabel"])["volLabel"].ravel()))
    if failure is not None:
        raise ValueError(f"{path.name} holds no volLabel") from failure
    cells = [np.asarray(cell) for cell in read[0]]
    numbers = all(np.issubdtype(cell.dtype, np.number) or cell.dtype == bool for cell in cells)
    if not numbers or len({cell.shape for cell in cells}) != 1 or cells[0].ndim != 2:
        raise ValueError(f"{path.name}: volLabel is not one mask per frame")
    return cells


def load_avenue(root: Path, opener: Opener) -> Dataset:
    """Find the clips under ``root`` as one scene; what is missing or wrong becomes a problem of its clip.

    Raises:
        UsageError: ``root`` does not have the layout.
    """
    base = root / _INNER if (root / _INNER).is_dir() else root
    training, testing = (in_order((base / folder).glob("*.avi")) for folder in ("training_videos", "testing_videos"))
    if not training or not testing:
        found = ", ".join(sorted(p.name for p in root.iterdir())[:6]) if root.is_dir() else "no such folder"
        raise UsageError(f"not CUHK Avenue: expected {LAYOUT}, found {found}", where=root, hint="give its root folder")
    folders = (place / masks for place in (base, root) for masks in _MASKS)
    masks = next((folder for folder in folders if folder.is_dir()), base / _MASKS[0])
    problems: list[str] = []
    readable = tuple(source for path in training if (source := _readable(path, opener, problems)))
    clips = tuple(clip for path in testing if (clip := _clip(path, masks, opener, problems)))
    return Dataset("avenue", root, (SceneData("avenue", readable, clips, FRAME_RATE_HZ),), tuple(problems))


def _readable(path: Path, opener: Opener, problems: list[str]) -> Source | None:
    source = parse_source(str(path))
    try:
        probe(source, opener)
    except SourceError as error:
        problems.append(f"training video {path.name}: {error}")
        return None
    return source


def _clip(path: Path, masks: Path, opener: Opener, problems: list[str]) -> TestClip | None:
    source = parse_source(str(path))
    try:
        frames = probe(source, opener).frames
    except SourceError as error:
        problems.append(f"clip {path.stem}: {error}")
        return None
    return TestClip(path.stem, source, _truth(path.stem, masks, frames, problems))


def _truth(name: str, folder: Path, frames: int | None, problems: list[str]) -> Truth | None:
    """A clip's masks, as far as they are there and fit: clip 01 has those of 1_label.mat."""
    path = folder / f"{int(name)}_label.mat" if name.isdecimal() else folder / f"{name}_label.mat"
    if not path.is_file():
        problems.append(f"clip {name}: no {path.name}: it counts in no figure")
        return None
    masks = MatlabMasks(path)
    try:
        labels = np.array([masks[index].any() for index in range(len(masks))])
    except ValueError as error:
        problems.append(f"clip {name}: {error}: it counts in no figure")
        return None
    if frames is not None and len(labels) != frames:
        problems.append(f"clip {name}: {frames} frames, but {len(labels)} masks: it counts in no figure")
        return None
    return Truth(labels, masks)
