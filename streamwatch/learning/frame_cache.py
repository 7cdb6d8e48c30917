"""The model inputs of a fit, kept on disk: what is left after an exclusion is learned again without decoding anything.

Beside ``CAMERA.safetensors`` lies ``CAMERA.inputs/`` with ``frames.bin``, one record of fixed size after the other, and
``index.json``, written last: without it the folder is nothing. They belong to one footage, told by the files' sizes and
times of change and by how they were read; for any other they are replaced.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Generator, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from streamwatch.files import write_atomically
from streamwatch.learning.footage import Footage
from streamwatch.learning.segment_index import SegmentIndex
from streamwatch.model.embedding.identity import RESIZE_KERNEL
from streamwatch.records import INPUT_SIZE_PX, SPEED_GRID, Frame, UInt8Array

log = logging.getLogger(__name__)
MAX_BYTES = 2_000_000_000
"""About 9,500 frames with motion: half an hour at 5 a second. Longer footage is decoded again."""
_PIXELS = (INPUT_SIZE_PX, INPUT_SIZE_PX, 3)
_SPEED = (SPEED_GRID, SPEED_GRID)


def frame_cache_folder(model_path: Path) -> Path:
    """Where the inputs of a model's footage are kept."""
    return model_path.with_name(f"{model_path.stem}.inputs")


def signature_of(footage: Footage) -> str:
    """What the footage's model inputs depend on, as a digest.

    Raises:
        OSError: a file is not there.
    """
    stamps = []
    for segment in (segment for source in footage.sources for segment in source.segments):
        files = segment.images or ((Path(segment.location),) if segment.kind == "video" else ())
        stats = [file.stat() for file in files]
        stamps.append(
            [segment.kind, segment.label, segment.frame_rate_hz, segment.stream, [[s.st_size, s.st_mtime_ns] for s in stats]]
        )
    how = [footage.fps, footage.limit_s, footage.features, footage.motion_step_s, INPUT_SIZE_PX, RESIZE_KERNEL]
    return hashlib.sha256(json.dumps([stamps, how]).encode()).hexdigest()


@dataclass(frozen=True)
class _Index:
    """What is known of the records.

    Attributes:
        times_s, segments: of every record, in order.
        cuts: see ``SegmentIndex``.
        footage_s: seconds of footage that were read.
    """

    signature: str
    with_speed: bool
    times_s: tuple[float, ...]
    segments: tuple[int, ...]
    cuts: tuple[tuple[float, str], ...]
    footage_s: float


class FrameCacheWriter:
    """Writes frames as they pass. A full disk, or too much footage, ends the keeping and not the fit."""

    def __init__(self, folder: Path, footage: Footage) -> None:
        self._folder, self._footage = folder, footage
        self._with_speed = footage.features != "appearance"
        self._times_s: list[float] = []
        self._segments: list[int] = []
        self._file: BinaryIO | None = None

    def passing(self, frames: Iterable[Frame]) -> Generator[Frame]:
        """The same frames, written."""
        try:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder.mkdir(parents=True)
            self._file = (self._folder / "frames.bin").open("wb")
        except OSError as error:
            self._give_up(str(error.strerror))
        for frame in frames:
            if self._file is not None:
                self._write(self._file, frame)
            yield frame

    def _write(self, file: BinaryIO, frame: Frame) -> None:
        if (len(self._times_s) + 1) * _record_bytes(self._with_speed) > MAX_BYTES:
            self._give_up(f"more than {len(self._times_s)} frames")
            return
        speed = np.full(_SPEED, np.nan, dtype=np.float32) if frame.speed is None else frame.speed
        try:
            file.write(np.ascontiguousarray(frame.pixels).data)
            if self._with_speed:
                file.write(np.ascontiguousarray(speed, dtype=np.float32).data)
        except OSError as error:
            self._give_up(str(error.strerror))
            return
        self._times_s.append(frame.time_s)
        self._segments.append(frame.segment)

    def _give_up(self, why: str) -> None:
        log.info("the footage's inputs are not kept in %s: %s", self._folder, why)
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
        self._file = None
        self.forget()

    def finish(self, cuts: SegmentIndex, footage_s: float) -> None:
        """All frames have passed: make what was written valid."""
        if self._file is None:
            return
        with self._file as file:
            file.flush()
            os.fsync(file.fileno())
        index = _Index(
            signature_of(self._footage),
            self._with_speed,
            tuple(self._times_s),
            tuple(self._segments),
            tuple(cuts.begins),
            footage_s,
        )
        write_atomically(self._folder / "index.json", json.dumps(asdict(index)))

    def forget(self) -> None:
        """Remove what was written."""
        shutil.rmtree(self._folder, ignore_errors=True)


class FrameCacheReader:
    """Inputs that a fit kept; see ``open_frame_cache``."""

    def __init__(self, folder: Path, index: _Index) -> None:
        self._folder, self._index = folder, index
        self.index, self.footage_s = SegmentIndex(index.cuts), index.footage_s

    def __len__(self) -> int:
        return len(self._index.times_s)

    @property
    def times_s(self) -> Sequence[float]:
        """Of every frame, on the time line."""
        return self._index.times_s

    def frames(self, camera: str) -> Generator[Frame]:
        """All frames, in order."""
        with (self._folder / "frames.bin").open("rb") as file:
            for number, (at_s, segment) in enumerate(zip(self._index.times_s, self._index.segments, strict=True)):
                pixels = np.fromfile(file, np.uint8, INPUT_SIZE_PX * INPUT_SIZE_PX * 3).reshape(_PIXELS)
                speed = np.fromfile(file, np.float32, SPEED_GRID * SPEED_GRID) if self._index.with_speed else None
                known = speed is not None and np.isfinite(speed[0])
                grid = speed.reshape(_SPEED) if speed is not None and known else None
                yield Frame(camera, number, at_s, 0.0, 0.0, pixels, None, segment, grid)

    def pixels_at(self, at_s: float) -> UInt8Array:
        """The model input (256, 256, 3) of the frame at or next before ``at_s`` on the time line."""
        number = max(int(np.searchsorted(self._index.times_s, at_s + 1e-6)) - 1, 0)
        offset = number * _record_bytes(self._index.with_speed)
        pixels = np.fromfile(self._folder / "frames.bin", np.uint8, INPUT_SIZE_PX * INPUT_SIZE_PX * 3, offset=offset)
        return np.asarray(pixels.reshape(_PIXELS), dtype=np.uint8)


def open_frame_cache(folder: Path, footage: Footage) -> FrameCacheReader | None:
    """The inputs that are kept of exactly this footage; None if there are none."""
    try:
        document = json.loads((folder / "index.json").read_text())
        cuts = tuple((float(at_s), str(label)) for at_s, label in document.pop("cuts"))
        index = _Index(
            **{**document, "times_s": tuple(document["times_s"]), "segments": tuple(document["segments"]), "cuts": cuts}
        )
        whole = (folder / "frames.bin").stat().st_size == len(index.times_s) * _record_bytes(index.with_speed)
        if index.signature != signature_of(footage) or not whole:
            return None
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return FrameCacheReader(folder, index)


def _record_bytes(with_speed: bool) -> int:
    return INPUT_SIZE_PX * INPUT_SIZE_PX * 3 + (4 * SPEED_GRID * SPEED_GRID if with_speed else 0)
