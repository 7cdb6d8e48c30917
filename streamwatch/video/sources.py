"""What a source is: a name from the command line or the configuration, resolved to things that can be opened."""

from __future__ import annotations

import glob
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import quote, unquote

from streamwatch.config.schema import CameraDefaults
from streamwatch.errors import SourceEmpty, SourceNotFound
from streamwatch.masking import IN_USER_INFO, looks_like_credentials, mask_url, remember, split_user_info
from streamwatch.video.folders import ANIMATED, PICTURES, Contents, contents_of, in_order, say_left_out, tree_of

DEFAULT_FRAME_RATE_HZ = 10.0
_MEMORY = Path("/dev") / "shm"
_URL = re.compile(r"^([a-zA-Z][a-zA-Z0-9+.-]*)(://.*)$", re.DOTALL)
_FILE_URL = re.compile(r"^file:(?://(localhost)?)?(?=/)", re.IGNORECASE)

Kind = Literal["video", "images", "live", "device"]


@dataclass(frozen=True, slots=True)
class Segment:
    """One thing to open: a video file, a sequence of images, a live URL or a device.

    Attributes:
        location: path or URL; may hold credentials, so show ``label`` instead.
        images: the picture files of an ``images`` segment, in order.
        frame_rate_hz: pictures per second of an ``images`` segment, and of a recording that holds neither times nor a rate.
        stream: which of several video streams, counted from 0; None leaves it to us.
        stream_optional: one that has no such stream is read all the same.
    """

    kind: Kind
    location: str
    images: tuple[Path, ...] = ()
    frame_rate_hz: float = DEFAULT_FRAME_RATE_HZ
    stream: int | None = None
    stream_optional: bool = False

    @property
    def label(self) -> str:
        """The location with credentials masked."""
        return mask_url(self.location)

    def __repr__(self) -> str:
        return f"Segment({self.kind!r}, {self.label!r}, {len(self.images)} images)"


@dataclass(frozen=True, slots=True)
class Source:
    """Segments that are read one after the other as one stream.

    Attributes:
        remarks: what its user should know of how it was understood: which files are left out.
    """

    label: str
    segments: tuple[Segment, ...]
    remarks: tuple[str, ...] = ()

    @property
    def live(self) -> bool:
        """Whether it has no end of its own and cannot be read faster than real time."""
        return any(s.kind in ("live", "device") for s in self.segments)


def parse_source(
    text: str,
    *,
    frame_rate_hz: float = DEFAULT_FRAME_RATE_HZ,
    stream: int | None = None,
    awaited: bool = False,
    stream_optional: bool = False,
) -> Source:
    """Resolve a file, a folder of images or videos, a glob, a device or a URL.

    A name that is there is a file, whatever it looks like. A glob may match videos, images or folders; videos and folders
    become segments in natural order, and the images of one folder one segment.

    Args:
        frame_rate_hz, stream, stream_optional: see Segment.
        awaited: a device may be absent: it is opened again and again, as a camera on the network is.

    Raises:
        SourceNotFound: nothing is there.
        SourceEmpty: a folder without pictures or videos.
    """
    how = _How(frame_rate_hz, stream, stream_optional)
    try:
        return _parsed(text, how, awaited=awaited)
    except OSError as error:  # a name that is too long, a folder that may not be entered
        reason = "this user may not read it" if isinstance(error, PermissionError) else error.strerror
        raise SourceNotFound(
            f"cannot be looked at ({reason})", where=mask_url(text), hint="check the path and its rights"
        ) from None


def _parsed(text: str, how: _How, *, awaited: bool) -> Source:
    if not text.strip():
        raise SourceNotFound("no source is named", hint="give a file, a folder, a device or a URL")
    if url := _URL.match(text):
        if url[1].lower() == "file":
            return _file_source(text, how)
        location = url[1].lower() + "://" + _quoted(url[2].removeprefix("://"))
        return Source(mask_url(location), (Segment("live", location, stream=how.stream),))
    if _FILE_URL.match(text) and not Path(text).exists():
        return _file_source(text, how)
    if _is_device(text):
        return _device_source(text, how.stream, awaited=awaited)
    paths = _paths_of(text)
    if not paths:
        if looks_like_credentials(text):
            remember(text)
            raise SourceNotFound(
                "this is no URL", where=mask_url(text), hint="it begins with its protocol: rtsp://USER:PASSWORD@HOST"
            )
        raise SourceNotFound("no such file, folder or glob", where=text, hint="check the path")
    return _source_of(text, paths, how)


def _quoted(rest: str) -> str:
    """A URL's part after ``://``, its user and password as RFC 3986 has them: a percent sign with two digits stays one."""
    user_info, after = split_user_info(rest)
    if user_info is None:
        return rest
    user, colon, password = user_info.partition(":")
    safe = "%" + IN_USER_INFO
    return f"{quote(user, safe=safe)}{colon}{quote(password, safe=safe + ':')}@{after}"


def camera_source(text: str, settings: CameraDefaults, *, awaited: bool = False, footage: bool = False) -> Source:
    """Resolve a name as a camera's settings have it read; raises as ``parse_source``.

    Args:
        footage: it is not the camera itself, but recordings of what it shows: they need not have its second stream.
    """
    rate_hz, stream = settings.frame_rate, settings.stream
    return parse_source(text, frame_rate_hz=rate_hz, stream=stream, awaited=awaited, stream_optional=footage)


@dataclass(frozen=True, slots=True)
class _How:
    """How local segments are read; see Segment."""

    frame_rate_hz: float
    stream: int | None
    stream_optional: bool = False

    def pictures(self, folder: Path, images: tuple[Path, ...]) -> Segment:
        return Segment("images", str(folder), images, self.frame_rate_hz)

    def recording(self, path: Path) -> Segment:
        return Segment("video", str(path), (), self.frame_rate_hz, self.stream, self.stream_optional)


def _file_source(text: str, how: _How) -> Source:
    """A ``file://`` URL: percent signs stand for what cannot be written (RFC 8089)."""
    raw = _FILE_URL.sub("", text)
    paths = [path for path in (Path(unquote(raw)), Path(raw)) if path.exists()][:1]
    if not paths:
        raise SourceNotFound("no such file or folder", where=text, hint="it is file:///absolute/path, with %20 for a space")
    return _source_of(text, paths, how)


def _is_device(text: str) -> bool:
    """Whether it names a device, there or not; what is under /dev/shm are files."""
    path = Path(text)
    return path.is_relative_to("/dev") and not path.is_relative_to(_MEMORY) and not path.is_file()


def _device_source(text: str, stream: int | None, *, awaited: bool) -> Source:
    if not awaited and not Path(text).exists():
        raise SourceNotFound("no such device", where=text, hint="list yours with `v4l2-ctl --list-devices`")
    return Source(text, (Segment("device", text, stream=stream),))


def _paths_of(text: str) -> list[Path]:
    """What a name means: itself, if that is there; with its ~, if there is such a user; or what it matches."""
    for name in (text, os.path.expanduser(text)):  # noqa: PTH111 - which leaves ~ alone where there is no such user
        if Path(name).exists():
            return [Path(name)]
        if matches := glob.glob(name, recursive=True):  # noqa: PTH207 - Path.glob takes hidden files too
            return in_order(map(Path, matches))
    return []


def _source_of(label: str, paths: list[Path], how: _How) -> Source:
    segments: list[Segment] = []
    remarks: list[str | None] = []
    files = [path for path in paths if path.is_file()]
    if len(paths) == 1 and files:
        alone = files[0]
        still = alone.suffix.lower() in PICTURES - ANIMATED
        return Source(label, (how.pictures(alone.parent, (alone,)) if still else how.recording(alone),))
    for folder in (path for path in paths if path.is_dir()):
        segments.extend(_folder_segments(folder, how, remarks))
    if files:
        segments.extend(_segments(label, files, how, remarks))
    if not segments:
        raise SourceEmpty("holds no pictures or videos", where=label, hint="give a folder of images or videos")
    return Source(label, tuple(segments), tuple(remark for remark in remarks if remark))


def _segments(place: str, files: list[Path], how: _How, remarks: list[str | None]) -> list[Segment]:
    found = contents_of(files)
    remarks.append(say_left_out(place, found.left_out))
    return _of_place(files[0].parent, found, how)


def _folder_segments(folder: Path, how: _How, remarks: list[str | None]) -> list[Segment]:
    """A folder's recordings, else what its subfolders hold of them, else its pictures, else those of its subfolders."""
    tree = tree_of(folder)
    chosen = dict(tree.chosen())
    remarks.extend(tree.remarks)
    for place, found in tree.contents:
        left_out = found.left_out if place in chosen else (*found.recordings, *found.pictures, *found.left_out)
        remarks.append(say_left_out(str(place), left_out))
    return [segment for place, found in chosen.items() for segment in _of_place(place, found, how)]


def _of_place(place: Path, found: Contents, how: _How) -> list[Segment]:
    if found.recordings:
        return [how.recording(path) for path in found.recordings]
    return [how.pictures(place, found.pictures)]
