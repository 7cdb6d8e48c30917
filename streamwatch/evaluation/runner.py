"""All scenes of a data set: cached, in parallel processes if asked, pooled into one result."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import torch

from streamwatch.clock import Clock, SystemClock
from streamwatch.errors import StreamwatchError
from streamwatch.evaluation.cache import load_result, scene_key, store_result
from streamwatch.evaluation.curves import PixelHistograms
from streamwatch.evaluation.datasets.dataset import Dataset, SceneData
from streamwatch.evaluation.regions import RegionCounts
from streamwatch.evaluation.scene_run import SceneResult, Settings, evaluate_scene
from streamwatch.learning.by_clip.mapper import Mapper
from streamwatch.learning.footage import Footage, expected_frames
from streamwatch.model.embedding.backbone import architecture
from streamwatch.model.embedding.weights import load_backbone
from streamwatch.video.streams.opener import PyAvOpener

OnScene = Callable[[SceneResult, bool], None]


Bar = Callable[[str, int | None], AbstractContextManager[Callable[[int], None]]]


@dataclass(frozen=True)
class Progress:
    """Who is told what.

    Attributes:
        bar: opens a progress bar of a label and a number of frames; what it gives is told of frames done.
        on_scene: told of every result, and whether it came from the cache.
    """

    bar: Bar
    on_scene: OnScene


def evaluate_dataset(
    dataset: Dataset,
    settings: Settings,
    *,
    cache: Path,
    workers: int,
    progress: Progress,
    clock: Clock | None = None,
    mapper: Mapper | None = None,
) -> list[SceneResult]:
    """Evaluate every scene, in the data set's order; what is in ``cache`` is not computed again.

    Args:
        workers: scenes at once, in processes of this machine.
        mapper: one scene after the other, and each one's clips by workers; None does without.

    Raises:
        StreamwatchError: as ``evaluate_scene``.
    """
    loaded = load_backbone(architecture(settings.spec.name), settings.spec.weights, settings.spec.seed)
    paths = {scene.name: cache / f"{scene_key(scene, settings, loaded.sha256)}.npz" for scene in dataset.scenes}
    results: dict[str, SceneResult] = {}
    todo: list[SceneData] = []
    for scene in dataset.scenes:
        cached = load_result(paths[scene.name])
        if cached is None:
            todo.append(scene)
        else:
            results[scene.name] = cached
            progress.on_scene(cached, True)
    if mapper is None and workers > 1 and len(todo) > 1:
        found = _in_processes(todo, settings, paths, workers, progress)
    else:
        found = _in_turn(todo, settings, paths, progress, _Means(clock or SystemClock(), mapper))
    results |= {result.name: result for result in found}
    return [results[scene.name] for scene in dataset.scenes]


@dataclass(frozen=True)
class _Means:
    """By what scenes are evaluated."""

    clock: Clock = field(default_factory=SystemClock)
    mapper: Mapper | None = None


def _in_turn(
    scenes: list[SceneData], settings: Settings, paths: dict[str, Path], progress: Progress, means: _Means
) -> list[SceneResult]:
    results = []
    for scene in scenes:
        with progress.bar(f"scene {scene.name}", expected_total(scene, settings)) as advance:
            result = _evaluated(scene, settings, advance, means)
        store_result(result, paths[scene.name])
        progress.on_scene(result, False)
        results.append(result)
    return results


def _in_processes(
    scenes: list[SceneData], settings: Settings, paths: dict[str, Path], workers: int, progress: Progress
) -> list[SceneResult]:
    threads = max(1, torch.get_num_threads() // workers)
    context = multiprocessing.get_context("spawn")  # a forked child would inherit OpenMP's threads as they stand
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        futures = [pool.submit(_in_child, scene, settings, paths[scene.name], threads) for scene in scenes]
        results = []
        total = sum(expected_total(scene, settings) for scene in scenes)
        with progress.bar(f"{len(scenes)} scenes", total) as advance:
            for future in as_completed(futures):
                results.append(future.result())
                advance(results[-1].train_frames + results[-1].frames)
                progress.on_scene(results[-1], False)
        return results


def _in_child(scene: SceneData, settings: Settings, path: Path, threads: int) -> SceneResult:
    torch.set_num_threads(threads)
    os.environ["OMP_NUM_THREADS"] = str(threads)  # what scores asks it for its workers (``threads.usable_cores``)
    result = _evaluated(scene, settings, lambda _frames: None, _Means())
    store_result(result, path)
    return result


def _evaluated(scene: SceneData, settings: Settings, on_frames: Callable[[int], None], means: _Means) -> SceneResult:
    try:
        return evaluate_scene(scene, settings, opener=PyAvOpener(), clock=means.clock, on_frames=on_frames, mapper=means.mapper)
    except StreamwatchError as error:
        raise type(error)(error.what, where=f"scene {scene.name}: {error.where or ''}".strip(": "), hint=error.hint) from error


def expected_total(scene: SceneData, settings: Settings) -> int:
    """How many frames a scene will take, to learn and to score; 0 if there is nothing to evaluate."""
    labelled = [len(clip.truth.labels) // settings.every for clip in scene.clips if clip.truth]
    if not scene.training or not labelled:
        return 0
    training = expected_frames(Footage(scene.training), PyAvOpener()) or 0
    return min(training, settings.train_frames or training) + sum(labelled)


def pooled_pixels(results: list[SceneResult]) -> PixelHistograms:
    """All scenes' pixels in one histogram, their scores as they are."""
    whole = PixelHistograms()
    for result in results:
        whole.merge(result.pixels)
    return whole


def pooled_regions(results: list[SceneResult]) -> RegionCounts | None:
    """All scenes' region counts; None if no scene has any."""
    counts = [(result.name, result.regions) for result in results if result.regions is not None]
    if not counts:
        return None
    whole = RegionCounts(counts[0][1].thresholds)
    for name, regions in counts:
        whole.merge(regions, f"{name}/")
    return whole
