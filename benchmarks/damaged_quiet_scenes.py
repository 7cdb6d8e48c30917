"""Damaged recordings of a quiet scene: whether damage alone raises an event.

python -m benchmarks.damaged_quiet_scenes [--files 500]

A place in which something passes to and fro all day is learned from undamaged recordings of every codec, with the default
configuration. Then it is watched in recordings that are damaged as in ``damaged_recordings``; whatever is raised is false.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter, deque
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.damaged_recordings import CODECS, Outcome, frames_of, quieten, write, write_damaged
from benchmarks.results import Figure, record
from streamwatch.records import UInt8Array
from streamwatch.retry import caught

LEARNED_FRAMES = 400
"""Of each codec: 40 s."""
AT_ONCE = 50
PLACE = np.random.default_rng(0).integers(60, 180, (12, 16, 3), dtype=np.uint8).repeat(16, 0).repeat(16, 1)
PERIOD = 80


def quiet_scene(number: int) -> UInt8Array:
    """(192, 256, 3): a textured place, a square that passes to and fro in 8 s, and the sensor's noise."""
    picture = PLACE.copy()
    x = round(112 + 96 * np.sin(2 * np.pi * number / PERIOD))
    picture[64:104, x : x + 32] = (30, 30, 200)
    noise = np.random.default_rng(number).normal(0, 2, (192, 256, 1))
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def configured(folder: Path) -> Path:
    """The default configuration, but for weights that need no network."""
    document = {
        "version": 1,
        "data_dir": str(folder / "data"),
        "backbone": {"weights": "untrained"},
        "cameras": {"cam": {"source": str(folder / "none.mp4")}},
    }
    path = folder / "site.yaml"
    path.write_text(json.dumps(document))
    return path


def run(command: str, config: Path, *arguments: str) -> str:
    """A command's standard output."""
    line = [sys.executable, "-m", "streamwatch", command, "-c", str(config), "cam", *arguments]
    return subprocess.run(line, check=True, capture_output=True, text=True).stdout


def learn(config: Path, folder: Path) -> None:
    """From undamaged recordings."""
    paths = [folder / f"normal-{codec}.mkv" for codec in CODECS]
    for codec, path in zip(CODECS, paths, strict=True):
        write(path, codec, picture_of=quiet_scene, count=LEARNED_FRAMES)
    run("fit", config, *map(str, paths))


def _read(path: Path) -> None:
    deque(frames_of(path), maxlen=0)


def watch(config: Path, written: dict[Path, Outcome]) -> tuple[list[Outcome], int]:
    """What the recordings raise, and how many pictures were scored; one of which nothing can be read raises nothing."""
    readable = [path for path in written if caught(partial(_read, path)) is None]
    document: dict[str, Any] = json.loads(run("backtest", config, *map(str, readable), "--json"))
    return [written[Path(event["source"])] for event in document["events"]], int(document["frames"])


def main() -> None:
    """Run, print what was raised by what, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=500)
    files = parser.parse_args().files
    quieten()
    raised, frames = list[Outcome](), 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = configured(folder)
        learn(config, folder)
        for start in range(0, files, AT_ONCE):
            written = dict(write_damaged(folder, seed, quiet_scene) for seed in range(start, min(start + AT_ONCE, files)))
            false, scored = watch(config, written)
            raised, frames = raised + false, frames + scored
            for path in written:
                path.unlink()
            print(f"{start + len(written)} recordings, {frames} pictures scored, {len(raised)} events", flush=True)
    by_kind = Counter((one.codec, one.container, one.damage) for one in raised)
    print(*(f"{count} of {kind}" for kind, count in by_kind.items()), sep="\n")
    figures = [
        Figure("Events from damage alone", f"{len(raised)} of {files} recordings", bound="none"),
        Figure("Pictures scored", frames),
    ]
    record("damaged_quiet_scenes", "Damaged recordings of a quiet scene", figures)


if __name__ == "__main__":
    main()
