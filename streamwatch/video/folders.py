"""What a folder of files means: pictures, recordings, and what is neither; in the order in which people number."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


def _suffixes(names: str) -> frozenset[str]:
    return frozenset(f".{name}" for name in names.split())


PICTURES = _suffixes(
    "jpg jpeg jpe jfif png bmp tif tiff webp gif jp2 j2k jpx ppm pgm pbm pnm pam avif heic heif jxl tga exr dpx sgi qoi"
)
ANIMATED = _suffixes("gif webp avif")
"""Pictures of which one alone may be a film."""
RECORDINGS = _suffixes(
    "mp4 m4v mov qt mkv webm avi ts m2ts mts mpg mpeg m2v vob flv f4v wmv asf 3gp 3g2 ogv ogm mxf nut dav rm rmvb divx y4m ivf"
    " obu h264 264 avc h265 265 hevc mjpeg mjpg"
)
NEITHER = _suffixes(
    "txt srt vtt ass ssa sub idx json jsonl xml csv tsv md log yaml yml toml ini cfg conf db sqlite html htm nfo pdf zip gz tar"
    " md5 sha1 sha256 sfv wav mp3 aac m4a flac ogg opus npy npz mat m py sh part tmp"
)
"""What lies beside recordings; FFmpeg takes some of it for video: text is animated by its `tty` format."""
_NAMED = 3


def natural_key(path: Path) -> tuple[tuple[tuple[tuple[int, str], ...], ...], str]:
    """Sorts 2 before 10, folder by folder; names that differ in leading zeros alone by their letters."""
    return tuple(_natural(part) for part in path.parts), str(path)


def _natural(text: str) -> tuple[tuple[int, str], ...]:
    pieces = re.split(r"([0-9]+)", text)
    return tuple((int(piece), "") if odd % 2 else (-1, piece) for odd, piece in enumerate(pieces))


def visible_files(folder: Path, pattern: str = "*") -> list[Path]:
    """The files of a folder that are not hidden, in natural order; a link that leads nowhere is one that cannot be read.

    Raises:
        OSError: it cannot be read.
    """
    return in_order(path for path in folder.glob(pattern) if not path.is_dir() and not path.name.startswith("."))


def in_order(paths: Iterable[Path]) -> list[Path]:
    """Paths in natural order."""
    return sorted(paths, key=natural_key)


@dataclass(frozen=True, slots=True)
class Contents:
    """Files that are read together: pictures or recordings, never both; and what is left out beside them."""

    pictures: tuple[Path, ...] = ()
    recordings: tuple[Path, ...] = ()
    left_out: tuple[Path, ...] = ()


def contents_of(files: Sequence[Path]) -> Contents:
    """What files in one place are.

    Recordings, if there are any: pictures beside them are their thumbnails. Else pictures; and if there are none either,
    whatever is not known to be something else may be a recording under a name of its own.
    """
    by_suffix = [(path, path.suffix.lower()) for path in files]
    recordings = tuple(path for path, suffix in by_suffix if suffix in RECORDINGS)
    pictures = () if recordings else tuple(path for path, suffix in by_suffix if suffix in PICTURES)
    if not recordings and not pictures:
        recordings = tuple(path for path, suffix in by_suffix if suffix not in NEITHER)
    taken = {*recordings, *pictures}
    return Contents(pictures, recordings, tuple(path for path in files if path not in taken))


def say_unreadable(paths: Sequence[Path]) -> str | None:
    """Which pictures could not be read, in words; None if there are none."""
    return f"not readable: {_names(paths)}" if paths else None


def _names(paths: Sequence[Path]) -> str:
    more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
    return ", ".join(path.name for path in paths[:_NAMED]) + more


def say_left_out(place: str, left_out: Sequence[Path]) -> str | None:
    """Which files beside others are not read, in words; None if there are none."""
    if not left_out:
        return None
    thumbnails = any(path.suffix.lower() in PICTURES for path in left_out)
    why = "pictures beside recordings, or neither" if thumbnails else "neither pictures nor recordings"
    return f"{place}: {len(left_out)} file(s) left out, {why}: {_names(left_out)}"
