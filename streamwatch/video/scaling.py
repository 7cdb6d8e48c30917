"""The one function that turns a decoded picture into the model's input.

swscale through PyAV, bicubic, with colour range and matrix always given: another kernel, or a guessed range,
differs by 1 to 3 grey levels and moves scores (docs/decisions/0002-method.md).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from streamwatch.errors import UnusablePicture
from streamwatch.records import INPUT_SIZE_PX, UInt8Array
from streamwatch.video.orientation import UPRIGHT, Orientation

_KERNEL = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
_GLANCE_KERNEL = Interpolation.AREA
"""For people who look at a picture made smaller: 480x360 to 320x240 in 0.2 ms, not in 0.7."""

# AVCOL_SPC_* of the stream to swscale's SWS_CS_*; what is not said is BT.601, which is FFmpeg's own default, so
# that a JPEG extracted from an untagged video and the video itself agree.
_MATRICES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
    10: Colorspace.BT2020,
}
_FULL_RANGE_FORMATS = ("yuvj", "gray", "rgb", "bgr", "gbr", "pal", "mono", "ya")


def colour_matrix(frame: av.VideoFrame) -> Colorspace:
    """The YCbCr matrix of a frame; BT.601 where the stream does not say."""
    return _MATRICES.get(int(frame.colorspace), Colorspace.ITU601)


def colour_range(frame: av.VideoFrame) -> ColorRange:
    """Full or limited range of a frame; by its pixel format where the stream does not say."""
    if frame.color_range in (ColorRange.MPEG, ColorRange.JPEG):
        return ColorRange(frame.color_range)
    return ColorRange.JPEG if frame.format.name.startswith(_FULL_RANGE_FORMATS) else ColorRange.MPEG


def grey_of(pixels: UInt8Array) -> UInt8Array:
    """(H, W, 3) RGB as (H, W) grey."""
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


class Scaler:
    """swscale contexts, cached inside, for one stream; threads take turns."""

    def __init__(self) -> None:
        self._input = VideoReformatter()
        self._in_turn = threading.Lock()

    def model_input(self, frame: av.VideoFrame, orientation: Orientation = UPRIGHT) -> UInt8Array:
        """A decoded frame, turned, as (256, 256, 3) RGB uint8.

        Raises:
            UnusablePicture: swscale refuses its size or format.
        """
        with self._in_turn:
            return orientation.turn(_rgb(self._input, frame, INPUT_SIZE_PX, INPUT_SIZE_PX))

    def picture(self, frame: av.VideoFrame, orientation: Orientation = UPRIGHT) -> InputPicture:
        """The same, when it is asked for."""
        return InputPicture(partial(self.model_input, frame, orientation))


class InputPicture:
    """A picture as the model sees it, scaled when somebody first asks for it, and once.

    Args:
        scale: makes the (256, 256, 3) RGB uint8 of it; raises as ``Scaler.model_input``.
    """

    __slots__ = ("_grey", "_pixels", "_scale")

    def __init__(self, scale: Callable[[], UInt8Array]) -> None:
        self._scale: Callable[[], UInt8Array] | None = scale
        self._pixels: UInt8Array | None = None
        self._grey: UInt8Array | None = None

    @classmethod
    def scaled(cls, pixels: UInt8Array) -> InputPicture:
        """One that is scaled already."""
        return cls(lambda: pixels)

    def pixels(self) -> UInt8Array:
        """(256, 256, 3) RGB uint8; not to be asked for after ``grey``."""
        if self._pixels is None:
            if self._scale is None:
                raise AssertionError("the picture is kept in grey alone")
            self._pixels = self._scale()
        return self._pixels

    def grey(self) -> UInt8Array:
        """(256, 256) grey; nothing else of the picture is kept from now on."""
        if self._grey is None:
            self._grey = grey_of(self.pixels())
            self._scale = self._pixels = None
        return self._grey


class DecodedPicture:
    """A decoded frame kept by reference; converted only when somebody looks at it.

    Attributes:
        width, height: in pixels, of the turned picture.
    """

    __slots__ = ("_frame", "_orientation", "height", "width")

    def __init__(self, frame: av.VideoFrame, orientation: Orientation = UPRIGHT) -> None:
        self._frame, self._orientation = frame, orientation
        self.width, self.height = orientation.size(frame.width, frame.height)

    def rgb(self, width: int | None = None) -> UInt8Array:
        """(height, width, 3) RGB uint8, at the camera's own size, or for people to look at as wide as was asked for.

        Raises:
            UnusablePicture: swscale refuses its size or format.
        """
        share = 1.0 if width is None else width / self.width
        across, down = (max(1, round(side * share)) for side in (self._frame.width, self._frame.height))
        kernel = _KERNEL if width is None else _GLANCE_KERNEL
        return self._orientation.turn(_rgb(VideoReformatter(), self._frame, across, down, kernel))


def _rgb(
    reformatter: VideoReformatter, frame: av.VideoFrame, width: int, height: int, kernel: Interpolation = _KERNEL
) -> UInt8Array:
    try:
        scaled = reformatter.reformat(
            frame,
            width=width,
            height=height,
            format="rgb24",
            src_colorspace=colour_matrix(frame),
            dst_colorspace=Colorspace.ITU601,
            src_color_range=colour_range(frame),
            dst_color_range=ColorRange.JPEG,
            interpolation=kernel,
            threads=1,  # PyAV 17 and later would otherwise scale with every core
        )
    except (av.error.FFmpegError, OverflowError, MemoryError) as error:
        what = f"a picture of {frame.width}x{frame.height} in {frame.format.name} cannot be scaled"
        raise UnusablePicture(f"{what} ({error.__class__.__name__})") from error
    return np.asarray(scaled.to_ndarray(), dtype=np.uint8)
