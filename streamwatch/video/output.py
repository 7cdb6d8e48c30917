"""Writing what was scored: maps, overlays and an overlay video; complete, or not at all."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import av
import cv2
import numpy as np
from av.container import OutputContainer
from av.video.stream import VideoStream

from streamwatch.errors import UsageError
from streamwatch.files import flush_folder, flush_to_disk, require_folder_of, temporary_beside
from streamwatch.records import UInt8Array
from streamwatch.scores import FrameScore
from streamwatch.video.overlay import heat_overlay, write_picture

_VIDEO_TIME_BASE = Fraction(1, 90_000)
_NOMINAL_RATE_HZ = 25


@dataclass(frozen=True, slots=True)
class OverlayStyle:
    """Map values where colour begins and is full, and the threshold to print."""

    low: float
    high: float
    threshold: float

    def draw(self, scored: FrameScore) -> UInt8Array:
        """The overlay of a frame whose picture was kept."""
        frame = scored.frame
        picture = frame.picture.rgb() if frame.picture else frame.pixels
        caption = f"{frame.time_s:.2f} s  level {scored.level:.1f} / {self.threshold:.1f}"
        return heat_overlay(picture, scored.level_grid, low=self.low, high=self.high, caption=caption)


class Sink(Protocol):
    """Takes scored frames one by one."""

    def add(self, scored: FrameScore) -> None:
        """Take one frame."""
        ...


class MapFolder:
    """A folder with ``NNNNNN.npy`` (the smoothed grid map, float32) and ``NNNNNN.png`` (overlay) per frame.

    Everything is written beside it and moved there when all is done.

    Raises:
        UsageError: the folder exists and is not empty, or cannot be made.
    """

    def __init__(self, folder: Path, style: OverlayStyle) -> None:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError("the folder for maps exists and is not empty", where=folder, hint="give a new one")
        self._folder, self._style = folder, style
        self._working = temporary_beside(folder)

    def __enter__(self) -> Self:
        try:
            self._working.mkdir(parents=True)
        except OSError as error:
            raise UsageError(f"cannot be made ({error.strerror})", where=self._folder) from None
        return self

    def add(self, scored: FrameScore) -> None:
        """Write one frame's map and overlay."""
        stem = f"{scored.frame.index:06d}"
        np.save(self._working / f"{stem}.npy", scored.grid)
        write_picture(str(self._working / f"{stem}.png"), self._style.draw(scored))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is not None:
            shutil.rmtree(self._working, ignore_errors=True)
            return
        if self._folder.exists():
            self._folder.rmdir()
        self._working.rename(self._folder)


class OverlayVideo:
    """An H.264 video of overlays with the source's own timestamps.

    Raises:
        UsageError: it cannot be written there.
    """

    def __init__(self, path: Path, style: OverlayStyle) -> None:
        require_folder_of(path)
        self._path, self._style = path, style
        self._working = temporary_beside(path)
        self._stream: VideoStream | None = None

    def __enter__(self) -> Self:
        self._container: OutputContainer = av.open(f"file:{self._working}", "w", format="mp4")
        return self

    def add(self, scored: FrameScore) -> None:
        """Encode one frame."""
        picture = self._style.draw(scored)
        stream = self._stream or self._open_stream(picture)
        if picture.shape[:2] != (stream.height, stream.width):  # of a folder of pictures of many sizes; or odd
            picture = np.asarray(cv2.resize(picture, (stream.width, stream.height), interpolation=cv2.INTER_AREA), np.uint8)
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.time_base, frame.pts = _VIDEO_TIME_BASE, round(scored.frame.time_s / _VIDEO_TIME_BASE)
        try:
            self._container.mux(stream.encode(frame))
        except av.error.FFmpegError as error:
            what = f"pictures of {stream.width}x{stream.height} cannot be written as a video ({error.strerror})"
            raise UsageError(what, where=self._path, hint="write --maps instead") from None

    def _open_stream(self, picture: UInt8Array) -> VideoStream:
        stream = self._container.add_stream("libx264", rate=_NOMINAL_RATE_HZ, options={"crf": "20", "preset": "veryfast"})
        stream.height, stream.width = (max(side // 2 * 2, 2) for side in picture.shape[:2])
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = _VIDEO_TIME_BASE
        self._stream = stream
        return stream

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None and self._stream is not None:
            self._container.mux(self._stream.encode(None))
        self._container.close()
        if kind is None and self._stream is not None:
            flush_to_disk(self._working)
            self._working.replace(self._path)
            flush_folder(self._path.parent)
        else:
            self._working.unlink(missing_ok=True)
