"""A scene learned from its clips by one, two and four workers of a Ray cluster: how long it takes, and how far models differ.

``python -m benchmarks.workers FOLDER`` takes the videos of FOLDER (Ped2's training videos), both fields, and writes
benchmarks/workers.json. Each worker has one thread; who merges has the machine's, as in `fit`.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from benchmarks.results import Figure, record
from streamwatch.cluster.connection import connected
from streamwatch.cluster.mapper import RayMapper
from streamwatch.inference.factory import EngineSpec
from streamwatch.learning.by_clip.clip_part import engine_for
from streamwatch.learning.by_clip.fit import ClippedFootage, Workers
from streamwatch.learning.footage import Footage
from streamwatch.model.embedding.identity import BackboneSpec
from streamwatch.model.scene import SceneModel
from streamwatch.scenes.calibration_policy import CalibrationPolicy
from streamwatch.video.sources import parse_source
from streamwatch.video.streams.opener import PyAvOpener

NUMBERS = (1, 2, 4)
SPEC = EngineSpec(BackboneSpec(weights="untrained"), "cpu", "float32")


def ready(spec: EngineSpec, _number: int) -> None:
    """Have a worker make its engine, which is not what is measured; so long that each gets one of them."""
    engine_for(spec)
    time.sleep(1.0)


def learned(mapper: RayMapper, footage: Footage) -> tuple[SceneModel, float]:
    """The model, and how long it took."""
    began_s = time.perf_counter()
    result = ClippedFootage(footage, engine_for(SPEC), Workers(mapper, SPEC), PyAvOpener()).learn(CalibrationPolicy())
    return result.model, time.perf_counter() - began_s


def difference(mine: SceneModel, theirs: SceneModel) -> float:
    """The largest of the sums, relative to the largest sum."""
    a, b = mine.require_moments(), theirs.require_moments()
    sums = ((a.s1, b.s1), (a.s2, b.s2))
    return max(float((x - y).abs().max() / y.abs().max()) for x, y in sums)


def main() -> None:
    """Measure and write benchmarks/workers.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    footage = Footage(tuple(parse_source(str(path)) for path in sorted(folder.iterdir())), features="both")
    models, seconds = [], []
    with connected("local", cpus=max(NUMBERS)) as ray:
        for number in NUMBERS:
            mapper = RayMapper(ray, workers=number)
            for _ready in mapper.map(ready, SPEC, range(number)):
                pass
            model, took_s = learned(mapper, footage)
            models.append(model)
            seconds.append(took_s)
    apart = max(difference(model, models[0]) for model in models[1:])
    figures = [Figure(f"{len(footage.sources)} videos, {models[0].frames} frames: one worker", round(seconds[0], 1), "s")]
    figures += [
        Figure(f"... {number} workers, times as fast", round(seconds[0] / took_s, 2), "", "1.7" if number == 2 else "")
        for number, took_s in zip(NUMBERS[1:], seconds[1:], strict=True)
    ]
    figures.append(Figure("... how far the models differ, of the largest sum", apart, "", "1e-6"))
    record("workers", "A scene learned by workers", figures)
    for figure in figures:
        print(f"{figure.what}: {figure.value} {figure.unit}")


if __name__ == "__main__":
    main()
