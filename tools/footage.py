"""Footage that tests and benchmarks make, and where things are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

from streamwatch.cli.main import main
from streamwatch.records import UInt8Array

QUICK_PRECISION = "bf16" if "avx512_bf16" in Path("/proc/cpuinfo").read_text() else "float32"
"""For tests that learn from much footage and ask for no bits of it: half the time where the machine has the kernels."""
REPOSITORY = Path(__file__).parent.parent
SHARED_DATA = REPOSITORY.parent / "shared" / "data"
"""Real footage that lies beside the project; it is never committed."""


def moving_square(frames: int, size: tuple[int, int] = (120, 160), noise_seed: int = 3) -> Iterator[UInt8Array]:
    """A textured place with a square that wanders: (H, W, 3) RGB pictures."""
    rng = np.random.default_rng(noise_seed)
    height, width = size
    place = np.random.default_rng(0).integers(60, 180, (height // 8, width // 8, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    for number in range(frames):
        picture = place.copy()
        x = int((width - 20) * (0.5 + 0.5 * np.sin(number / 9)))
        picture[40:60, x : x + 20] = (30, 30, 200)
        noise = rng.normal(0, 2, picture.shape)
        yield np.clip(picture + noise, 0, 255).astype(np.uint8)


def encode(path: Path, pictures: Iterator[UInt8Array], fps: int = 10) -> Path:
    """Write pictures as a video file, the same each time; the container follows from the name.

    With a bit rate instead of ``crf`` libx264's threads make it another file each time, and scores differ by a third.
    """
    first = next(pictures)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "21"})
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt = "yuv420p"
        for picture in (first, *pictures):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def run_command(*arguments: object) -> None:
    """Run `streamwatch ARGUMENTS...` in this process; fails unless it exits with 0."""
    code: object = None
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as end:
        code = end.code
    if code not in (0, None):
        raise AssertionError(f"streamwatch {' '.join(map(str, arguments))} exited with {code}")
