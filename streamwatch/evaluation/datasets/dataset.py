"""What a data set on disk comes to: scenes with training footage and labelled test clips, and what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from streamwatch.video.sources import Source

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Truth:
    """A clip's ground truth.

    Attributes:
        labels: (T,) True where the frame is anomalous.
        masks: T masks of (H, W), read one by one, or None without pixel truth.
    """

    labels: Mask
    masks: MaskSequence | None


class MaskSequence(Protocol):
    """Masks that are read when they are asked for: those of a clip may take gigabytes."""

    def __len__(self) -> int:
        """Number of frames."""
        ...

    def __getitem__(self, index: int) -> Mask:
        """The (H, W) mask of one frame."""
        ...

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that it reads."""
        ...


@dataclass(frozen=True)
class ArrayMasks:
    """Masks in one (T, H, W) .npy file, mapped and not loaded."""

    path: Path

    def __len__(self) -> int:
        return int(np.load(self.path, mmap_mode="r").shape[0])

    def __getitem__(self, index: int) -> Mask:
        return np.asarray(np.load(self.path, mmap_mode="r")[index]) > 0

    @property
    def files(self) -> tuple[Path, ...]:
        """The one file."""
        return (self.path,)


@dataclass(frozen=True)
class PictureMasks:
    """One mask picture per frame, in name order."""

    paths: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Mask:
        picture = cv2.imread(str(self.paths[index]), cv2.IMREAD_GRAYSCALE)
        if picture is None:
            raise ValueError(f"{self.paths[index]}: not a readable mask")
        return np.asarray(picture) > 0

    @property
    def files(self) -> tuple[Path, ...]:
        """All pictures."""
        return self.paths


@dataclass(frozen=True)
class TestClip:
    """A test clip; ``truth`` is None where its labels are missing or wrong, and then it counts in no figure."""

    __test__ = False  # its name is the field's word, not pytest's

    name: str
    source: Source
    truth: Truth | None


@dataclass(frozen=True)
class SceneData:
    """One scene (camera): training videos and test clips, in name order."""

    name: str
    training: tuple[Source, ...]
    clips: tuple[TestClip, ...]
    frame_rate_hz: float


@dataclass(frozen=True)
class Dataset:
    """A data set; ``problems`` holds one line for everything that is missing or wrong in it."""

    name: str
    root: Path
    scenes: tuple[SceneData, ...]
    problems: tuple[str, ...] = field(default=())
