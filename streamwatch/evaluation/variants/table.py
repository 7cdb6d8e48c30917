"""The paper's method and its variants on the same data, each with its figures, its time and what it keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import chain
from statistics import fmean

import numpy as np
import torch
from torch import Tensor

from streamwatch.clock import Clock
from streamwatch.errors import UsageError
from streamwatch.evaluation.clip_run import OnFrames
from streamwatch.evaluation.curves import PixelHistograms
from streamwatch.evaluation.datasets.dataset import Dataset, SceneData, TestClip, Truth
from streamwatch.evaluation.datasets.mvtec import PictureDataset
from streamwatch.evaluation.frame_figures import auroc
from streamwatch.evaluation.pictures.class_run import PictureReading, evaluate_class
from streamwatch.evaluation.pictures.patch_model import GaussianPatches, PatchModel
from streamwatch.evaluation.pictures.report import class_figures, mean_figures
from streamwatch.evaluation.scene_run import Settings, thinned
from streamwatch.evaluation.variants.covariances import CovarianceRule, ledoit_wolf, of_neighbourhood, plus_eps, plus_share
from streamwatch.evaluation.variants.patch_models import Averaged, Enlarged, NearestPatches, ReducedGaussians
from streamwatch.evaluation.variants.reductions import ChosenChannels, PrincipalComponents, SemiOrthogonal
from streamwatch.inference.offline import SCORE_BATCH_FRAMES, batched, read_ahead
from streamwatch.learning.footage import Footage, expected_frames
from streamwatch.model.embedding.embedder import Embedder
from streamwatch.model.scene import LEARN_BATCH_FRAMES
from streamwatch.model.scoring.anomaly_map import smooth_on_grid, upsample
from streamwatch.records import Frame
from streamwatch.video.reader import FrameReader
from streamwatch.video.sources import Source
from streamwatch.video.streams.opener import Opener

PUBLISHED = {
    "random": "MVTec 96.7 / 90.5 (Defard et al. 2020); STC 91.2",
    "principal": "MVTec 93.5 / 85.7 (Defard et al. 2020)",
    "orthogonal": "STC 92.1 (Kim et al. 2021)",
    "nearest": "STC 89.9 (SPADE, in Defard et al. 2020)",
}
"""Pixel AUROC, and PRO where it stands, in percent, of ResNet-18 or as the papers chose."""
RULE = CovarianceRule(plus_eps)


@dataclass(frozen=True)
class Variant:
    """One way.

    Attributes:
        make: a model that has learned nothing yet.
        published: what papers say of it.
    """

    name: str
    make: Callable[[], PatchModel]
    published: str = ""


def variants_of(chosen: Embedder, whole: Embedder, seed: int) -> list[Variant]:
    """All of them.

    Args:
        chosen: gives the paper's d channels.
        whole: gives all channels, of the same network.
    """
    dims, channels = chosen.dims, whole.dims

    def gaussians(rule: CovarianceRule) -> Callable[[], PatchModel]:
        return lambda: ReducedGaussians(whole, ChosenChannels(chosen.indices), rule)

    return [
        Variant(f"**random choice of {dims} channels (the paper's)**", partial(GaussianPatches, chosen), PUBLISHED["random"]),
        Variant(
            f"{dims} principal components",
            lambda: ReducedGaussians(whole, PrincipalComponents(dims), RULE),
            PUBLISHED["principal"],
        ),
        Variant(
            f"semi-orthogonal projection to {dims}",
            lambda: ReducedGaussians(whole, SemiOrthogonal(channels, dims, seed), RULE),
            PUBLISHED["orthogonal"],
        ),
        Variant("eps as a share of the mean variance", gaussians(CovarianceRule(plus_share))),
        Variant("Ledoit and Wolf's shrinkage", gaussians(CovarianceRule(ledoit_wolf, fourth=True))),
        Variant("moments of the 3x3 neighbourhood", gaussians(CovarianceRule(of_neighbourhood))),
        Variant("distances averaged over 3x3 cells", lambda: Averaged(GaussianPatches(chosen), 3)),
        Variant(
            "pictures seen at twice their size",
            lambda: ReducedGaussians(Enlarged(chosen, 2), ChosenChannels(range(dims)), RULE),
        ),
        Variant("nearest patch of the 50 most alike pictures (SPADE)", partial(NearestPatches, chosen), PUBLISHED["nearest"]),
    ]


@dataclass(frozen=True)
class Row:
    """One variant's line: figures 0 to 1, time to score a picture, decoding left out, and what it keeps of a scene or class."""

    variant: str
    image_auroc: float | None
    pixel_auroc: float | None
    pro: float | None
    ms_per_picture: float
    mib: float
    published: str


@dataclass
class _Timed:
    """A patch model whose scoring is timed."""

    model: PatchModel
    clock: Clock
    seconds: float = 0.0
    pictures: int = 0

    @property
    def passes(self) -> int:
        return self.model.passes

    @property
    def bytes(self) -> int:
        return self.model.bytes

    def learn(self, pixels: Tensor, number: int) -> None:
        self.model.learn(pixels, number)

    def maps(self, pixels: Tensor) -> Tensor:
        if not self.pictures:
            self.model.maps(pixels[:1])  # what is learned is finished at the first
        began_s = self.clock.monotonic_s()
        found = self.model.maps(pixels).cpu()
        self.seconds += self.clock.monotonic_s() - began_s
        self.pictures += len(pixels)
        return found


def on_pictures(
    variant: Variant, data: PictureDataset, reading: PictureReading, device: torch.device, on_done: OnFrames
) -> Row:
    """A variant on every class; raises as ``evaluate_class``."""
    timed = [_Timed(variant.make(), reading.clock) for _ in data.classes]
    pairs = zip(data.classes, timed, strict=True)
    results = [evaluate_class(found, model, reading, device, on_done) for found, model in pairs]
    return _row(variant, mean_figures(class_figures(result) for result in results), timed)


def on_videos(variant: Variant, data: Dataset, run: VideoRun) -> Row:
    """A variant on every scene; pixels and frames of all scenes pooled.

    Raises:
        UsageError: no scene has training videos and a labelled clip.
    """
    scenes = [scene for scene in data.scenes if scene.training and any(clip.truth for clip in scene.clips)]
    if not scenes:
        raise UsageError("no scene has both training videos and a labelled clip", where=data.root)
    tally, timed = _Tally(), [_Timed(variant.make(), run.clock) for _ in scenes]
    for scene, model in zip(scenes, timed, strict=True):
        run.evaluate(scene, model, tally)
    return _row(variant, tally.figures(), timed)


@dataclass
class _Tally:
    pixels: PixelHistograms = field(default_factory=PixelHistograms)
    scores: list[float] = field(default_factory=list)
    labels: list[bool] = field(default_factory=list)

    def figures(self) -> dict[str, float | None]:
        frames = auroc(np.array(self.scores, dtype=np.float64), np.array(self.labels, dtype=bool))
        return {"image_auroc": frames, "pixel_auroc": self.pixels.auroc(), "pro": self.pixels.pro()}


@dataclass(frozen=True)
class VideoRun:
    """How scenes are read and scored.

    Attributes:
        settings: ``train_frames`` and ``every`` count.
        on_frames: told of frames that are done.
    """

    settings: Settings
    device: torch.device
    opener: Opener
    clock: Clock
    on_frames: OnFrames

    def evaluate(self, scene: SceneData, model: PatchModel, tally: _Tally) -> None:
        """Learn and score one scene."""
        total = expected_frames(Footage(scene.training), self.opener)
        for number in range(model.passes):
            frames = chain.from_iterable(self._frames(scene, source) for source in scene.training)
            for batch in self._batches(thinned(frames, total, self.settings.train_frames), LEARN_BATCH_FRAMES):
                model.learn(self._tensor(batch), number)
        for clip in scene.clips:
            if clip.truth is not None:
                self._score(scene, clip, clip.truth, model, tally)

    def _score(self, scene: SceneData, clip: TestClip, truth: Truth, model: PatchModel, tally: _Tally) -> None:
        frames = (frame for frame in self._frames(scene, clip.source) if frame.index % self.settings.every == 0)
        for batch in self._batches(frames, SCORE_BATCH_FRAMES):
            grids = smooth_on_grid(model.maps(self._tensor(batch)).float())
            tally.scores += grids.amax(dim=(1, 2)).tolist()
            tally.labels += [bool(truth.labels[frame.index]) for frame in batch]
            if truth.masks is not None:
                for frame, grid in zip(batch, grids, strict=True):
                    mask = truth.masks[frame.index]
                    tally.pixels.add(upsample(grid[None], *mask.shape)[0].numpy(), mask)

    def _frames(self, scene: SceneData, source: Source) -> Iterator[Frame]:
        return FrameReader(scene.name, source, opener=self.opener, clock=self.clock).frames()

    def _batches(self, frames: Iterable[Frame], size: int) -> Iterable[list[Frame]]:
        with closing(read_ahead(frames)) as ahead:
            for batch in batched(ahead, size):
                yield batch
                self.on_frames(len(batch))

    def _tensor(self, batch: Sequence[Frame]) -> Tensor:
        return torch.from_numpy(np.stack([frame.pixels for frame in batch])).to(self.device)


def _row(variant: Variant, figures: Mapping[str, float | None], timed: Sequence[_Timed]) -> Row:
    pictures = sum(one.pictures for one in timed)
    ms = 1000 * sum(one.seconds for one in timed) / max(pictures, 1)
    mib = fmean(one.bytes for one in timed) / 2**20
    return Row(variant.name, figures["image_auroc"], figures["pixel_auroc"], figures["pro"], ms, mib, variant.published)


def variants_page(rows: Sequence[Row], facts: Mapping[str, str]) -> str:
    """The table as a Markdown page, with what it takes to make it again."""
    lines = [
        "# Variants of the method",
        "",
        "Generated by the command below; do not edit. Each row differs from the first in one thing. Image AUROC is of a",
        "frame or picture by its map's maximum, unfiltered; time is to score one, without decoding; MiB are what is kept.",
        "",
        *(f"- {name}: {value}" for name, value in facts.items()),
        "",
        "| variant | image AUROC | pixel AUROC | PRO | ms | MiB | published pixel AUROC / PRO, percent |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        shown = " | ".join("-" if value is None else f"{value:.4f}" for value in (row.image_auroc, row.pixel_auroc, row.pro))
        lines.append(f"| {row.variant} | {shown} | {row.ms_per_picture:.1f} | {row.mib:.0f} | {row.published or '-'} |")
    return "\n".join(lines) + "\n"


def rows_document(rows: Sequence[Row], facts: Mapping[str, str]) -> dict[str, object]:
    """The same for machines."""
    return {"facts": dict(facts), "variants": [asdict(row) for row in rows]}
