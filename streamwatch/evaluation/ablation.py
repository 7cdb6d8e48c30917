"""What each field and each way of fusing them is worth, on the same frames, with the time that it takes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from copy import copy
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np
import torch

from streamwatch.clock import Clock
from streamwatch.errors import UsageError
from streamwatch.evaluation.clip_run import OnFrames
from streamwatch.evaluation.curves import PixelHistograms
from streamwatch.evaluation.datasets.dataset import Dataset, SceneData, TestClip, Truth
from streamwatch.evaluation.frame_figures import ClipScores, frame_figures
from streamwatch.evaluation.scene_run import Settings, learn_frames
from streamwatch.inference.engine import Engine, WatchedScene
from streamwatch.inference.factory import build_engine
from streamwatch.inference.offline import SCORE_BATCH_FRAMES, batched, read_ahead
from streamwatch.learning.footage import Footage, expected_frames
from streamwatch.model.scene import SceneModel
from streamwatch.model.scoring.anomaly_map import upsample
from streamwatch.model.scoring.fusion import APPEARANCE_CAP, APPEARANCE_WEIGHT, Features, FieldMaps, Fusion, fused, level_of
from streamwatch.model.scoring.levels import APPEARANCE, MOTION, FieldUnits
from streamwatch.model.scoring.stream_scorer import StreamRules, StreamScorer
from streamwatch.model.scoring.temporal import CausalFilter
from streamwatch.records import Float32Array, Frame
from streamwatch.video.reader import FrameReader
from streamwatch.video.sources import Source
from streamwatch.video.streams.opener import Opener

_GATE_LEVEL = 1.0
_TIMED_FRAMES = 64


@dataclass(frozen=True)
class FrameMaps:
    """One frame as the rules see it: maps as they are, after the causal filter, and both as tails."""

    raw: FieldMaps
    smooth: FieldMaps
    raw_tails: FieldMaps
    tails: FieldMaps
    lift: float
    level: Float32Array


@dataclass(frozen=True)
class _Learned:
    """What a scene's normal footage says of how its fields go together."""

    fusion: Fusion
    units: FieldUnits
    grid: tuple[int, int]

    def maps_of(self, raw: FieldMaps, smooth: FieldMaps) -> FrameMaps:
        named = ((APPEARANCE, smooth.appearance), (MOTION, smooth.motion))
        level = self.units.level(tuple((name, values) for name, values in named if values is not None), self.grid)
        return FrameMaps(raw, smooth, self.fusion.tails(raw), self.fusion.tails(smooth), self.fusion.lift, level)


@dataclass(frozen=True)
class Rule:
    """A way to make one map of a frame; ``needs`` names the timed parts that it takes."""

    name: str
    map_of: Callable[[FrameMaps], Float32Array]
    needs: tuple[str, ...]


def _appearance(maps: FieldMaps) -> Float32Array:
    if maps.appearance is None:
        raise ValueError("an ablation needs both fields")
    return maps.appearance


def _motion(maps: FieldMaps) -> Float32Array:
    """The motion map; nothing stands out where there is no evidence."""
    return np.zeros_like(_appearance(maps)) if maps.motion is None else maps.motion


def _sum(maps: FrameMaps) -> Float32Array:
    return _motion(maps.tails) + _appearance(maps.tails)


def _light_sum(maps: FrameMaps) -> Float32Array:
    return np.asarray(_motion(maps.tails) + np.float32(0.2) * _appearance(maps.tails))


def _gated(maps: FrameMaps) -> Float32Array:
    capped = APPEARANCE_WEIGHT * np.minimum(_appearance(maps.tails), APPEARANCE_CAP)
    motion = _motion(maps.tails)
    return np.asarray(motion + capped * (motion > _GATE_LEVEL), dtype=np.float32)


def _greater(maps: FrameMaps) -> Float32Array:
    return np.maximum(_motion(maps.tails), _appearance(maps.tails))


_A, _M = ("decode", "appearance"), ("decode", "flow", "motion")
_BOTH = ("decode", "flow", "appearance", "motion", "fusion")

RULES = (
    Rule("appearance, shrunk as it is beside motion", lambda maps: _appearance(maps.raw), _A),
    Rule("appearance, causal filter", lambda maps: _appearance(maps.smooth), _A),
    Rule("motion", lambda maps: _motion(maps.raw), _M),
    Rule("motion, causal filter", lambda maps: _motion(maps.smooth), _M),
    Rule("capped sum of tails, unfiltered (`score` of `both`)", lambda maps: fused(maps.raw_tails), _BOTH),
    Rule("capped sum of tails, causal filter (`both`)", lambda maps: fused(maps.tails), _BOTH),
    Rule(
        "two scores, each with its threshold (the level of models of format 1)",
        lambda maps: level_of(maps.tails, maps.lift),
        _BOTH,
    ),
    Rule("**each field by its own threshold (the daemon's level)**", lambda maps: maps.level, _BOTH),
    Rule("sum of tails; Fisher's combination with any fitted dependence ranks alike", _sum, _BOTH),
    Rule("motion + 0.2 appearance, uncapped tails", _light_sum, _BOTH),
    Rule("gated: capped appearance only where motion is over 1", _gated, _BOTH),
    Rule("maximum of the tails", _greater, _BOTH),
)
"""Brown 1975 corrects Fisher's statistic for dependence by a scaled chi-square: a growing function of the sum."""


@dataclass
class _Tally:
    """One rule's counts so far."""

    clips: list[ClipScores] = field(default_factory=list)
    pixels: PixelHistograms = field(default_factory=PixelHistograms)


@dataclass(frozen=True)
class Row:
    """One row of the table: figures 0..1, time in milliseconds per frame."""

    rule: str
    frame_auroc_micro: float | None
    frame_auroc_macro: float | None
    pixel_auroc: float | None
    ms_per_frame: float


def ablate(dataset: Dataset, settings: Settings, *, opener: Opener, clock: Clock, on_frames: OnFrames) -> list[Row]:
    """Learn both fields of every scene and score every clip by every rule.

    Raises:
        StreamwatchError: as ``evaluate_scene``.
        UsageError: no scene has training videos and a labelled clip.
    """
    settings = replace(settings, features="both")
    tallies = [_Tally() for _ in RULES]
    costs: list[dict[str, float]] = []
    for scene in dataset.scenes:
        if scene.training and any(clip.truth for clip in scene.clips):
            engine = build_engine(settings.spec, device=settings.device, precision=settings.scoring_precision)
            costs.append(_SceneAblation(scene, settings, engine, opener, clock).run(tallies, on_frames))
    if not costs:
        raise UsageError("no scene has both training videos and a labelled clip", where=dataset.root)
    ms = {part: float(np.mean([cost[part] for cost in costs])) for part in costs[0]}
    return [_row(rule, tally, ms) for rule, tally in zip(RULES, tallies, strict=True)]


def _row(rule: Rule, tally: _Tally, ms: Mapping[str, float]) -> Row:
    figures = frame_figures(tally.clips)
    time_ms = sum(ms[part] for part in rule.needs)
    return Row(rule.name, figures.auroc_micro, figures.auroc_macro, tally.pixels.auroc(), time_ms)


class _SceneAblation:
    """One scene's ablation under way."""

    def __init__(self, scene: SceneData, settings: Settings, engine: Engine, opener: Opener, clock: Clock) -> None:
        self._scene, self._settings, self._engine = scene, settings, engine
        self._opener, self._clock = opener, clock

    def run(self, tallies: Sequence[_Tally], on_frames: OnFrames) -> dict[str, float]:
        """Learn the scene and count all its labelled clips; milliseconds per frame of each part."""
        readers = [self._reader(source) for source in self._scene.training]
        total = expected_frames(Footage(self._scene.training), self._opener)
        model = learn_frames(readers, total, self._settings, self._engine, on_frames)
        if model.fusion_ is None or model.units_ is None:
            raise AssertionError("a model of both fields fuses them, and knows its thresholds")
        learned = _Learned(model.fusion_, model.units_, model.grid)
        self._engine.watch(self._scene.name, WatchedScene(model))
        labelled = [(clip, clip.truth) for clip in self._scene.clips if clip.truth is not None]
        for clip, truth in labelled:
            self._count(clip, truth, learned, tallies, on_frames)
        return self._costs(labelled[0][0].source, model)

    def _reader(self, source: Source, *, with_motion: bool = True) -> FrameReader:
        step_s = self._settings.motion_step_s if with_motion else None
        return FrameReader(self._scene.name, source, opener=self._opener, clock=self._clock, motion_step_s=step_s)

    def _count(self, clip: TestClip, truth: Truth, learned: _Learned, tallies: Sequence[_Tally], on_frames: OnFrames) -> None:
        scores: list[list[float]] = [[] for _ in tallies]
        indices: list[int] = []
        times_s: list[float] = []
        for frame, maps in self._frames_with_maps(clip.source, learned):
            mask = truth.masks[frame.index] if truth.masks else None
            indices.append(frame.index)
            times_s.append(frame.time_s)
            for rule, tally, row in zip(RULES, tallies, scores, strict=True):
                grid = rule.map_of(maps)
                row.append(float(grid.max()))
                if mask is not None:
                    tally.pixels.add(upsample(torch.from_numpy(grid)[None], *mask.shape)[0].numpy(), mask)
            on_frames(1)
        labels, time_s = truth.labels[indices], np.array(times_s)
        for tally, row in zip(tallies, scores, strict=True):
            values = np.array(row)
            tally.clips.append(ClipScores(clip.name, values, values, labels, time_s, 1.0))

    def _frames_with_maps(self, source: Source, learned: _Learned) -> Iterator[tuple[Frame, FrameMaps]]:
        """The clip's frames as the rules see them."""
        appearance, motion = CausalFilter(), CausalFilter()
        frames = (f for f in self._reader(source).frames() if f.index % self._settings.every == 0)
        with closing(read_ahead(frames)) as ahead:
            for batch in batched(ahead, SCORE_BATCH_FRAMES):
                for frame, raw in zip(batch, self._engine.field_maps(batch), strict=True):
                    smooth = FieldMaps(appearance.apply(raw.appearance, frame.time_s), motion.apply(raw.motion, frame.time_s))
                    yield frame, learned.maps_of(raw, smooth)

    def _costs(self, source: Source, model: SceneModel) -> dict[str, float]:
        """Milliseconds per frame of each part, measured by itself on the start of one clip."""
        frames = list(islice(self._reader(source).frames(), _TIMED_FRAMES))
        decode_ms = self._ms(lambda: deque(islice(self._reader(source, with_motion=False).frames(), len(frames)), 0), frames)
        both_ms = self._ms(lambda: deque(islice(self._reader(source).frames(), len(frames)), 0), frames)
        appearance_ms = self._ms(lambda: self._maps_of(model, "appearance", frames), frames)
        motion_ms = self._ms(lambda: self._maps_of(model, "motion", frames), frames)
        scorer = StreamScorer(StreamRules(model.grid, model.fusion_))
        maps = self._maps_of(model, "both", frames)
        fusion_ms = self._ms(lambda: [scorer.score(m, f.time_s) for f, m in zip(frames, maps, strict=True)], frames)
        return {
            "decode": decode_ms,
            "flow": both_ms - decode_ms,
            "appearance": appearance_ms,
            "motion": motion_ms,
            "fusion": fusion_ms,
        }

    def _ms(self, work: Callable[[], object], frames: Sequence[Frame]) -> float:
        began_s = self._clock.monotonic_s()
        work()
        return 1000 * (self._clock.monotonic_s() - began_s) / len(frames)

    def _maps_of(self, model: SceneModel, features: Features, frames: Sequence[Frame]) -> list[FieldMaps]:
        """The maps of some fields of ``model`` alone."""
        part = copy(model)
        part.features = features
        self._engine.watch(features, WatchedScene(part))
        named = [replace(frame, camera=features) for frame in frames]
        return [m for batch in batched(named, SCORE_BATCH_FRAMES) for m in self._engine.field_maps(batch)]


def accuracy_page(rows: Sequence[Row], facts: Mapping[str, str]) -> str:
    """The table as a Markdown page, with what it takes to make it again."""
    lines = [
        "# Accuracy",
        "",
        "Generated by the command below; do not edit. What each field and each way of fusing them is worth on the same",
        "frames. Models, tails and shrinkage come from normal footage. The flow's finest scale was first noticed on Ped2's",
        "labelled clips and then chosen on known motion (docs/method.md), so Ped2's motion rows are a little optimistic.",
        "The paper's method alone, without shrinkage, is in [Benchmarks](benchmarks.md).",
        "",
        *(f"- {name}: {value}" for name, value in facts.items()),
        "",
        "| map | frame AUROC micro | frame AUROC macro | pixel AUROC | ms per frame |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        values = (row.frame_auroc_micro, row.frame_auroc_macro, row.pixel_auroc)
        shown = " | ".join("-" if value is None else f"{value:.4f}" for value in values)
        lines.append(f"| {row.rule} | {shown} | {row.ms_per_frame:.1f} |")
    lines += ["", "Times are of each part by itself (decoding, flow, network and distance, motion, fusion), added up;", ""]
    lines[-2] += " reading runs beside the network, so that the whole takes less."
    return "\n".join(lines)
