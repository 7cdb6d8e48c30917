"""One class of pictures: learn its normal ones, score its test pictures, count."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from streamwatch.clock import Clock
from streamwatch.errors import SourceError
from streamwatch.evaluation.curves import Mask, PixelHistograms
from streamwatch.evaluation.datasets.mvtec import PictureClass, TestPicture
from streamwatch.evaluation.frame_figures import auroc
from streamwatch.evaluation.pictures.gallery import Gallery, Shown
from streamwatch.evaluation.pictures.patch_model import PatchModel
from streamwatch.evaluation.pictures.views import CROP_PX, View, ViewOf, mask_seen_by, seen_by
from streamwatch.inference.offline import SCORE_BATCH_FRAMES, batched, read_ahead
from streamwatch.model.scene import LEARN_BATCH_FRAMES
from streamwatch.model.scoring.anomaly_map import SMOOTHING_SIGMA_PX, smooth, upsample
from streamwatch.records import INPUT_SIZE_PX, UInt8Array
from streamwatch.video.reader import FrameReader
from streamwatch.video.sources import parse_source
from streamwatch.video.streams.opener import Opener

MIN_TRAINED = 2
"""A covariance has the divisor N - 1."""
OnPictures = Callable[[int], None]


@dataclass
class ClassResult:
    """What a class came to.

    Attributes:
        scores: of the test pictures that count, the map's maximum.
        anomalous: whether each of them has a defect.
    """

    name: str
    is_texture: bool
    trained: int = 0
    scores: list[float] = field(default_factory=list)
    anomalous: list[bool] = field(default_factory=list)
    pixels: PixelHistograms = field(default_factory=PixelHistograms)
    gallery: list[Shown] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def image_auroc(self) -> float | None:
        """The chance that a picture with a defect scores above one without; None if either kind is missing."""
        return auroc(np.array(self.scores, dtype=np.float64), np.array(self.anomalous, dtype=bool))


@dataclass(frozen=True)
class PictureReading:
    """How pictures are read.

    Attributes:
        root: of the data set; a picture's name is its path from there.
        view_of: what is looked at of each.
    """

    root: Path
    view_of: ViewOf
    opener: Opener
    clock: Clock

    def pixels(self, path: Path) -> UInt8Array:
        """(224, 224, 3): resized as every model input is, and cropped.

        Raises:
            SourceError: it cannot be read.
        """
        reader = FrameReader(path.name, parse_source(str(path)), opener=self.opener, clock=self.clock)
        frame = next(iter(reader.frames()))
        return seen_by(self._view(path), frame.pixels)

    def mask(self, picture: TestPicture) -> Mask:
        """(224, 224) of the same view; nothing for a picture without a defect.

        Raises:
            SourceError: its file cannot be read.
        """
        if picture.mask is None:
            return np.zeros((CROP_PX, CROP_PX), dtype=bool)
        known = cv2.imread(str(picture.mask), cv2.IMREAD_GRAYSCALE)
        if known is None:
            raise SourceError("not a readable mask", where=picture.mask, hint="unpack the data set again")
        resized = cv2.resize(known, (INPUT_SIZE_PX, INPUT_SIZE_PX), interpolation=cv2.INTER_NEAREST_EXACT)
        return mask_seen_by(self._view(picture.path), np.asarray(resized) > 0)

    def _view(self, path: Path) -> View:
        return self.view_of(path.relative_to(self.root).as_posix())


def evaluate_class(
    found: PictureClass, model: PatchModel, reading: PictureReading, device: torch.device, on_pictures: OnPictures
) -> ClassResult:
    """Learn and score one class; of one with fewer pictures than a covariance needs, that is its only problem, and no figure.

    Raises:
        ModelError: a distance is not finite.
    """
    result = ClassResult(found.name, found.is_texture)
    for number in range(model.passes):
        result.trained, result.problems = 0, []
        with closing(read_ahead(_training(found, reading, result))) as pictures:
            for batch in batched(pictures, LEARN_BATCH_FRAMES):
                model.learn(_tensor(batch, device), number)
                result.trained += len(batch)
                on_pictures(len(batch))
    if result.trained < MIN_TRAINED:
        result.problems.append(
            f"class {found.name}: {result.trained} picture(s) to learn, and {MIN_TRAINED} are needed: no figure"
        )
        return result
    gallery = Gallery()
    with closing(read_ahead(_testing(found, reading, result))) as tests:
        for tested in batched(tests, SCORE_BATCH_FRAMES):
            heats = finished_maps(model.maps(_tensor([one.pixels for one in tested], device)))
            for one, heat in zip(tested, heats.cpu().numpy(), strict=True):
                _count(result, gallery, one, heat)
            on_pictures(len(tested))
    result.gallery = gallery.shown()
    return result


def finished_maps(grids: Tensor) -> Tensor:
    """(N, h, w) distances to (N, 224, 224) maps: upsampled, then blurred by 4 pixels, in the paper's order (section 3.3)."""
    return smooth(upsample(grids.float(), CROP_PX, CROP_PX), SMOOTHING_SIGMA_PX)


@dataclass(frozen=True)
class _Tested:
    picture: TestPicture
    pixels: UInt8Array
    mask: Mask


def _training(found: PictureClass, reading: PictureReading, result: ClassResult) -> Iterator[UInt8Array]:
    for path in found.training:
        try:
            yield reading.pixels(path)
        except SourceError as error:
            result.problems.append(f"class {found.name}: {error}: not learned")


def _testing(found: PictureClass, reading: PictureReading, result: ClassResult) -> Iterator[_Tested]:
    for picture in found.test:
        try:
            yield _Tested(picture, reading.pixels(picture.path), reading.mask(picture))
        except SourceError as error:
            result.problems.append(f"class {found.name}: {error}: it counts in no figure")


def _count(result: ClassResult, gallery: Gallery, tested: _Tested, heat: np.ndarray) -> None:
    score = float(heat.max())
    result.scores.append(score)
    result.anomalous.append(tested.picture.anomalous)
    result.pixels.add(heat, tested.mask)
    gallery.offer(
        f"{tested.picture.defect}/{tested.picture.path.name}", tested.picture.anomalous, tested.pixels, heat, tested.mask
    )


def _tensor(pictures: Sequence[UInt8Array], device: torch.device) -> Tensor:
    return torch.from_numpy(np.stack(pictures)).to(device)
