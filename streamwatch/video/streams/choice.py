"""Which of several video streams is watched: files hold previews and cover art beside the film, cameras a small stream beside
the large one.
"""

from __future__ import annotations

from collections.abc import Sequence

from av.stream import Disposition
from av.video.stream import VideoStream

from streamwatch.errors import SourceEmpty, SourceError

_STILL = Disposition.attached_pic | Disposition.still_image | Disposition.timed_thumbnails


def choose_stream(streams: Sequence[VideoStream], wanted: int | None, label: str, *, optional: bool = False) -> VideoStream:
    """The stream that is wanted; else of those that move the default one, the largest of several, the first of equals.

    Args:
        wanted: which one, counted from 0 as FFmpeg's ``v:0`` is; None leaves it to us.
        label: of the source, for errors.
        optional: the wanted one need not be there: it is another source's number.

    Raises:
        SourceEmpty: there is none, or nothing but cover art; SourceError: the wanted one is not there.
    """
    if not streams:
        raise SourceEmpty("holds no video stream", where=label, hint="give a source with video in it")
    if wanted is not None and wanted >= len(streams) and optional:
        wanted = None
    if wanted is not None and wanted >= len(streams):
        there = "it holds one, 0" if len(streams) == 1 else f"it holds 0 to {len(streams) - 1}"
        raise SourceError(f"has no video stream {wanted}", where=label, hint=f"{there}; correct `stream`")
    if wanted is not None:
        return _known(streams[wanted], label)
    moving = [stream for stream in streams if not stream.disposition & _STILL]
    if not moving:
        raise SourceEmpty("holds a cover picture and no video", where=label, hint="give a source with video in it")
    best = max(moving, key=lambda stream: (bool(stream.disposition & Disposition.default), _pixels(stream)))
    return _known(best, label)


def _known(stream: VideoStream, label: str) -> VideoStream:
    """The stream, if FFmpeg knows its codec; PyAV has no context for it else."""
    if stream.codec_context is None:
        raise SourceError("is of a codec that FFmpeg does not know", where=label, hint="it may be damaged")
    return stream


def say_choice(streams: Sequence[VideoStream], chosen: VideoStream) -> str | None:
    """Which of several it is, in words; None of a source with one."""
    if len(streams) == 1:
        return None
    sizes = ", ".join(
        f"{n}: {s.codec_context.width}x{s.codec_context.height}" for n, s in enumerate(streams) if s.codec_context
    )
    return f"of {len(streams)} video streams ({sizes}), {list(streams).index(chosen)} is read; `stream` names another"


def _pixels(stream: VideoStream) -> int:
    coded = stream.codec_context
    return coded.width * coded.height if coded is not None else -1
