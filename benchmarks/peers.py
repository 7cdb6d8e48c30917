"""streamwatch beside its peers: the same pictures, in turn, in one run.

python -m benchmarks.peers PYTHON [--rounds 5]

PYTHON is that of an environment with Anomalib (``make peers`` makes one). Each system is a process of its own with all cores;
a round has each score the same 96 pictures in batches of 8, with the Gaussians of ResNet-18 at d = 100.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.results import Figure, record
from streamwatch.bench.footage import Camera, pictures
from tools.footage import REPOSITORY

LEARNED, SCORED = 200, 96
SENT = Camera(640, 480, 10.0)
RATIO_AT_LEAST = 8.0


@dataclass(frozen=True)
class Process:
    """A peer that waits for questions."""

    name: str
    running: subprocess.Popen[bytes]

    def ask(self, question: str) -> dict[str, Any]:
        """One answer.

        Raises:
            RuntimeError: the peer has ended.
        """
        assert self.running.stdin is not None
        assert self.running.stdout is not None
        with suppress(BrokenPipeError):  # then it has no answer either
            self.running.stdin.write(f"{question}\n".encode())
        line = self.running.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended with exit code {self.running.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def started(python: str, module: str, files: Sequence[Path]) -> Iterator[Process]:
    """A peer's process."""
    line = [python, "-m", module, *map(str, files)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONWARNINGS": "ignore"}
    with subprocess.Popen(
        line, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, cwd=REPOSITORY
    ) as one:
        try:
            yield Process(module, one)
        finally:
            one.kill()


def write_pictures(folder: Path) -> list[Path]:
    """What is learned and what is scored, as (N, 256, 256, 3)."""
    made = [cv2.resize(picture, (256, 256), interpolation=cv2.INTER_AREA) for picture in pictures(SENT, LEARNED + SCORED)]
    paths = [folder / "learned.npy", folder / "scored.npy"]
    np.save(paths[0], np.stack(made[:LEARNED]))
    np.save(paths[1], np.stack(made[LEARNED:]))
    return paths


def compare(python: str, rounds: int) -> list[Figure]:
    """Learn with each, then score with each in turn."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        files = write_pictures(Path(name))
        ours = stack.enter_context(started(sys.executable, "benchmarks.peer_streamwatch", files))
        peer = stack.enter_context(started(python, "benchmarks.peer_anomalib", files))
        learned = [one.ask("fit") for one in (ours, peer)]
        scored = [[one.ask("score")["fps"] for one in (ours, peer)] for _ in range(rounds + 1)][1:]
    for row in scored:
        print(*row, flush=True)
    return figures(learned, scored)


def figures(learned: Sequence[dict[str, Any]], scored: Sequence[Sequence[float]]) -> list[Figure]:
    """Of ours and the peer's, side by side."""
    found: list[Figure] = []
    for number, fit in enumerate(learned):
        who, fps = fit["version"], statistics.median(row[number] for row in scored)
        found += [
            Figure(f"{who}: scoring, batches of 8", round(fps, 1), "frames/s"),
            Figure(f"{who}: learning {LEARNED} pictures", round(fit["seconds"], 1), "s"),
            Figure(f"{who}: memory that learning adds", round(fit["grew_mib"]), "MiB"),
        ]
    ratio = statistics.median(row[0] / row[1] for row in scored)
    return [*found, Figure("Scoring, ours to the peer's", round(ratio, 1), "times", f"at least {RATIO_AT_LEAST:g}")]


def main() -> None:
    """Measure, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("python", help="of the environment that Anomalib is in")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    found = compare(arguments.python, arguments.rounds)
    for figure in found:
        print(f"{figure.what}: {figure.value} {figure.unit} {figure.bound}")
    record("peers", "Peers, float32, on the CPU", found)


if __name__ == "__main__":
    main()
