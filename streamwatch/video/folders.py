"""What a folder of files means: pictures, recordings, and what is neither; in the order in which people number."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
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
_OF_THE_SYSTEM = frozenset(
    ("@eaDir", "#recycle", "#snapshot", "$RECYCLE.BIN", "System Volume Information", "lost+found", "__MACOSX", "Thumbnails")
)
"""Folders that storage and file managers make for themselves: thumbnails, and what was deleted."""
MAX_FOLDERS = 100_000


def natural_key(path: Path) -> tuple[tuple[tuple[tuple[int, str], ...], ...], str]:
    """Sorts 2 before 10, folder by folder; names that differ in leading zeros alone by their letters."""
    return tuple(_natural(part) for part in path.parts), str(path)


def _natural(text: str) -> tuple[tuple[int, str], ...]:
    pieces = re.split(r"([0-9]+)", text)
    return tuple((int(piece), "") if odd % 2 else (-1, piece) for odd, piece in enumerate(pieces))


def visible_files(folder: Path, pattern: str = "*") -> list[Path]:
    """The files of a folder that are not hidden, in natural order; a link that leads nowhere is one that cannot be read.

    A link to another of them, as `latest.jpg` is, is left out: it would be read twice. A folder that is not there has none.

    Raises:
        OSError: it cannot be read.
    """
    if folder.is_dir():
        next(folder.iterdir(), None)  # glob takes a folder that may not be read for an empty one
    files = [path for path in folder.glob(pattern) if not path.is_dir() and not path.name.startswith(".")]
    links = {path for path in files if path.is_symlink()}
    own = {path.resolve() for path in files if path not in links} if links else set[Path]()
    return in_order(path for path in files if path not in links or path.resolve() not in own)


def in_order(paths: Iterable[Path]) -> list[Path]:
    """Paths in natural order."""
    return sorted(paths, key=natural_key)


@dataclass(frozen=True, slots=True)
class Contents:
    """Files that are read together: pictures or recordings, never both; and what is left out beside them.

    Attributes:
        guessed: no name says that these are recordings; none says that they are something else.
    """

    pictures: tuple[Path, ...] = ()
    recordings: tuple[Path, ...] = ()
    left_out: tuple[Path, ...] = ()
    guessed: bool = False


def contents_of(files: Sequence[Path]) -> Contents:
    """What files in one place are.

    Recordings, if there are any: pictures beside them are their thumbnails. Else pictures; and if there are none either,
    whatever is not known to be something else may be a recording under a name of its own.
    """
    by_suffix = [(path, path.suffix.lower()) for path in files if path.is_file() or path.is_symlink()]  # no pipe, no socket
    recordings = tuple(path for path, suffix in by_suffix if suffix in RECORDINGS)
    pictures = () if recordings else tuple(path for path, suffix in by_suffix if suffix in PICTURES)
    guessed = not recordings and not pictures
    if guessed:
        recordings = tuple(path for path, suffix in by_suffix if suffix not in NEITHER)
    taken = {*recordings, *pictures}
    return Contents(pictures, recordings, tuple(path for path in files if path not in taken), guessed)


@dataclass(frozen=True)
class Tree:
    """What a folder holds, and its subfolders.

    Attributes:
        contents: of each folder with files, the folder itself first, in natural order.
        remarks: what could not be looked at.
    """

    contents: tuple[tuple[Path, Contents], ...]
    remarks: tuple[str, ...] = ()

    def chosen(self) -> tuple[tuple[Path, Contents], ...]:
        """Those that are read: recordings, if there are any; else pictures; else what may be a recording.

        What lies in the folder itself is meant, if it is of that kind; else what lies below it.
        """
        kinds = (
            [one for one in self.contents if one[1].recordings and not one[1].guessed],
            [one for one in self.contents if one[1].pictures],
            [one for one in self.contents if one[1].recordings],
        )
        best = next((kind for kind in kinds if kind), [])
        return tuple(best[:1] if best and best[0][0] == self.contents[0][0] else best)


def tree_of(folder: Path) -> Tree:
    """Look at a folder and all below it, each once, whatever links lead to it; what may not be entered is told.

    Raises:
        OSError: the folder itself cannot be read.
    """
    contents, remarks = list[tuple[Path, Contents]](), list[str]()
    own = _OwnFolders(folder)
    seen, waiting = {folder.resolve()}, [folder]
    while waiting and len(contents) < MAX_FOLDERS:
        place = waiting.pop()
        try:
            files, inner = visible_files(place), _folders_in(place)
        except OSError as error:
            if place == folder:
                raise
            remarks.append(f"{place}: left out: {error.strerror}")
            continue
        contents.append((place, contents_of(files)))
        if place == folder and contents[0][1].recordings and not contents[0][1].guessed:
            below = f"{folder}: {len(inner)} folder(s) below its recordings left out: {_names(inner)}"
            return Tree(tuple(contents), (below,) if inner else ())
        # A folder of the tree is read in its own place, and not where a link leads to it.
        fresh = dict[Path, Path]()
        for sub in inner:
            if not (sub.is_symlink() and own.has(sub)) and sub.resolve() not in seen:
                fresh.setdefault(sub.resolve(), sub)
        waiting.extend(reversed(fresh.values()))
        seen |= fresh.keys()
    return Tree(tuple(contents), tuple(remarks))


class _OwnFolders:
    """Which folders lie in a tree without any link; walked through once, when the first link is met."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: set[Path] | None = None

    def has(self, link: Path) -> bool:
        """Whether a link leads to one of them."""
        if self._known is None:
            self._known, waiting = set(), [self._folder]
            while waiting and len(self._known) < MAX_FOLDERS:
                place = waiting.pop()
                self._known.add(place.resolve())
                with suppress(OSError):
                    waiting.extend(sub for sub in _folders_in(place) if not sub.is_symlink())
        return link.resolve() in self._known


def _folders_in(folder: Path) -> list[Path]:
    """Of those that people made, in natural order."""
    inner = (path for path in folder.iterdir() if path.name not in _OF_THE_SYSTEM and not path.name.startswith("."))
    return in_order(path for path in inner if path.is_dir())


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
    suffixes = {path.suffix.lower() for path in left_out}
    if any(not path.is_file() and not path.is_symlink() for path in left_out):
        why = "pipes or devices, or neither pictures nor recordings"
    elif suffixes & PICTURES:
        why = "pictures beside recordings, below other pictures, or neither"
    else:
        why = "neither pictures nor recordings"
    return f"{place}: {len(left_out)} file(s) left out, {why}: {_names(left_out)}"
