"""What a source is: a name from the command line or the configuration, resolved to things that can be opened."""

from __future__ import annotations

import glob
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from streamwatch.errors import SourceEmpty, SourceNotFound, mask_credentials

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"})
DEFAULT_FRAME_RATE_HZ = 10.0
_URL = re.compile(r"^[a-zA-Z][a-zA-Z0-9+.-]*://")

Kind = Literal["video", "images", "live", "device"]


@dataclass(frozen=True, slots=True)
class Segment:
    """One thing to open: a video file, a sequence of images, a live URL or a device.

    Attributes:
        location: path or URL; may hold credentials, so show ``label`` instead.
        images: the picture files of an ``images`` segment, in order.
        frame_rate_hz: pictures per second of an ``images`` segment.
    """

    kind: Kind
    location: str
    images: tuple[Path, ...] = ()
    frame_rate_hz: float = DEFAULT_FRAME_RATE_HZ

    @property
    def label(self) -> str:
        """The location with credentials masked."""
        return mask_credentials(self.location)

    def __repr__(self) -> str:
        return f"Segment({self.kind!r}, {self.label!r}, {len(self.images)} images)"


@dataclass(frozen=True, slots=True)
class Source:
    """Segments that are read one after the other as one stream."""

    label: str
    segments: tuple[Segment, ...]

    @property
    def live(self) -> bool:
        """Whether it has no end of its own and cannot be read faster than real time."""
        return any(s.kind in ("live", "device") for s in self.segments)


def parse_source(text: str, *, frame_rate_hz: float = DEFAULT_FRAME_RATE_HZ, awaited: bool = False) -> Source:
    """Resolve a file, a folder of images or videos, a glob, a device or a URL.

    A glob may match videos, images or folders; videos and folders become segments in name order, and the
    images of one folder one segment.

    Args:
        awaited: a device may be absent: it is opened again and again, as a camera on the network is.

    Raises:
        SourceNotFound: nothing is there.
        SourceEmpty: a folder without pictures or videos.
    """
    if _URL.match(text):
        return _url_source(text, frame_rate_hz)
    if text.startswith("/dev/"):
        return _device_source(text, awaited=awaited)
    path = Path(text).expanduser()
    if path.is_file() or path.is_dir():
        return Source(text, _segments([path], frame_rate_hz))
    matches = sorted(Path(p) for p in glob.glob(str(path), recursive=True))  # noqa: PTH207 - Path.glob takes hidden files too
    if not matches:
        raise SourceNotFound("no such file, folder or glob", where=text, hint="check the path")
    return Source(text, _segments(matches, frame_rate_hz))


def _url_source(text: str, frame_rate_hz: float) -> Source:
    if text.startswith("file://"):
        return parse_source(urlsplit(text).path, frame_rate_hz=frame_rate_hz)
    return Source(mask_credentials(text), (Segment("live", text),))


def _device_source(text: str, *, awaited: bool) -> Source:
    if not awaited and not Path(text).exists():
        raise SourceNotFound("no such device", where=text, hint="list yours with `v4l2-ctl --list-devices`")
    return Source(text, (Segment("device", text),))


def _segments(paths: list[Path], frame_rate_hz: float) -> tuple[Segment, ...]:
    segments: list[Segment] = []
    images = [p for p in paths if p.is_file() and p.suffix.lower() in IMAGE_SUFFIXES]
    for path in paths:
        if path.is_dir():
            segments.extend(_folder_segments(path, frame_rate_hz))
        elif path.suffix.lower() not in IMAGE_SUFFIXES:
            segments.append(Segment("video", str(path)))
    if images:
        segments.append(Segment("images", str(images[0].parent), tuple(sorted(images)), frame_rate_hz))
    return tuple(segments)


def _folder_segments(folder: Path, frame_rate_hz: float) -> list[Segment]:
    """A folder's images as one segment, else its videos, else its subfolders' images."""
    files = sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
    images = tuple(p for p in files if p.suffix.lower() in IMAGE_SUFFIXES)
    if images:
        return [Segment("images", str(folder), images, frame_rate_hz)]
    if files:
        return [Segment("video", str(p)) for p in files]
    inner = [s for sub in sorted(folder.iterdir()) if sub.is_dir() for s in _folder_segments(sub, frame_rate_hz)]
    if not inner:
        raise SourceEmpty("the folder holds no pictures or videos", where=folder, hint="give a folder of images or videos")
    return inner
