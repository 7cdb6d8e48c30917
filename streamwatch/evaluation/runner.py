"""All scenes of a data set: cached, in parallel processes if asked, pooled into one result."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import torch

from streamwatch.clock import Clock, SystemClock
from streamwatch.errors import StreamwatchError
from streamwatch.evaluation.cache import load_result, scene_key, store_result
from streamwatch.evaluation.curves import PixelHistograms
from streamwatch.evaluation.datasets import Dataset, SceneData
from streamwatch.evaluation.regions import RegionCounts
from streamwatch.evaluation.scene_run import SceneResult, Settings, evaluate_scene
from streamwatch.model.backbone import architecture
from streamwatch.model.weights import load_backbone
from streamwatch.video.opener import PyAvOpener

OnScene = Callable[[SceneResult, bool], None]


@dataclass(frozen=True)
class Progress:
    """Who is told what: ``on_frames`` of frames done in this process, ``on_scene`` of results and if they were cached."""

    on_frames: Callable[[int], None]
    on_scene: OnScene


def evaluate_dataset(
    dataset: Dataset, settings: Settings, *, cache: Path, workers: int, progress: Progress, clock: Clock | None = None
) -> list[SceneResult]:
    """Evaluate every scene, in the data set's order; what is in ``cache`` is not computed again.

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
    compute = _in_processes if workers > 1 and len(todo) > 1 else _in_turn
    for result in compute(todo, settings, paths, workers, progress, clock or SystemClock()):
        results[result.name] = result
    return [results[scene.name] for scene in dataset.scenes]


def _in_turn(
    scenes: list[SceneData], settings: Settings, paths: dict[str, Path], _workers: int, progress: Progress, clock: Clock
) -> list[SceneResult]:
    results = []
    for scene in scenes:
        result = _evaluated(scene, settings, progress.on_frames, clock)
        store_result(result, paths[scene.name])
        progress.on_scene(result, False)
        results.append(result)
    return results


def _in_processes(
    scenes: list[SceneData], settings: Settings, paths: dict[str, Path], workers: int, progress: Progress, _clock: Clock
) -> list[SceneResult]:
    threads = max(1, torch.get_num_threads() // workers)
    context = multiprocessing.get_context("spawn")  # a forked child would inherit OpenMP's threads as they stand
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        futures = [pool.submit(_in_child, scene, settings, paths[scene.name], threads) for scene in scenes]
        results = []
        for future in as_completed(futures):
            results.append(future.result())
            progress.on_frames(results[-1].train_frames + results[-1].frames)
            progress.on_scene(results[-1], False)
        return results


def _in_child(scene: SceneData, settings: Settings, path: Path, threads: int) -> SceneResult:
    torch.set_num_threads(threads)
    result = _evaluated(scene, settings, lambda _frames: None, SystemClock())
    store_result(result, path)
    return result


def _evaluated(scene: SceneData, settings: Settings, on_frames: Callable[[int], None], clock: Clock) -> SceneResult:
    try:
        return evaluate_scene(scene, settings, opener=PyAvOpener(), clock=clock, on_frames=on_frames)
    except StreamwatchError as error:
        raise type(error)(error.what, where=f"scene {scene.name}: {error.where or ''}".strip(": "), hint=error.hint) from error


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
