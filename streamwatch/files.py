"""The one way a file is written: complete, or not at all, and on the disk before anything relies on it."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from streamwatch.errors import FolderInUse, UsageError

log = logging.getLogger(__name__)


def temporary_beside(path: Path) -> Path:
    """A hidden name beside ``path`` that nobody else uses, with its suffix, by which libraries know the format."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp{path.suffix}")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A name to write to; what stands there when the block ends takes the place of ``path``, durably.

    Who may read what was there may read what takes its place; of a link, what it leads to is replaced.

    If the block raises, ``path`` stays as it was and nothing is left behind.

    Raises:
        OSError: the disk refuses.
    """
    path = path.resolve() if path.is_symlink() else path
    temporary = temporary_beside(path)
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else None
    try:
        if mode is not None:
            os.close(os.open(temporary, os.O_CREAT | os.O_WRONLY, mode | stat.S_IWUSR))
        yield temporary
        if mode is not None:
            temporary.chmod(mode)
        flush_to_disk(temporary)
        temporary.replace(path)
        flush_folder(path.parent)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file: complete, or not at all; after a power cut too.

    Raises:
        UsageError: the folder does not exist or cannot be written.
    """
    try:
        with replacing(path) as temporary:
            temporary.write_bytes(content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise UsageError(f"cannot be written ({error.strerror})", where=path, hint="check the folder") from None


@contextmanager
def replaced_text(path: Path) -> Iterator[TextIO]:
    """A text file to write piece by piece; complete when the block ends, or as it was.

    Raises:
        UsageError: the folder does not exist or cannot be written.
    """
    try:
        with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            yield file
            file.flush()
    except OSError as error:
        raise UsageError(f"cannot be written ({error.strerror})", where=path, hint="check the folder") from None


@contextmanager
def locked(path: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold the lock of a file, which is made; it ends with the process, however that ends.

    A file system without locks, or a folder that cannot be written, is logged and locks nothing.

    Args:
        shared: with others who share it, and with nobody who holds it alone.

    Raises:
        FolderInUse: another process holds it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        log.warning("%s cannot be locked (%s): whether another process uses the folder is not known", path, error.strerror)
        yield
        return
    try:
        _lock(descriptor, path, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, path: Path, kind: int) -> None:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        hint = "stop it, give this one a `data_dir` of its own, or share the cameras with --shard"
        raise FolderInUse("another streamwatch watches with this folder", where=path.parent, hint=hint) from None
    except OSError as error:
        log.warning("%s cannot be locked (%s): whether another process uses the folder is not known", path, error.strerror)


def flush_to_disk(path: Path) -> None:
    """Wait until a file is on the disk.

    Raises:
        OSError: the disk refuses.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_folder(folder: Path) -> None:
    """Have a folder's list of names on the disk, where its file system can: what was renamed in it is there either way.

    A folder that may be written but not read, and some network file systems, refuse; the file's own flush has succeeded.
    """
    with suppress(OSError):
        flush_to_disk(folder)


def require_folder_of(path: Path) -> None:
    """Check, before work is spent, that ``path`` can be written.

    Raises:
        UsageError: its folder does not exist or is read-only.
    """
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise UsageError("cannot be written (no such folder, or read-only)", where=path, hint="check the folder")


def sha256_of(path: Path) -> str | None:
    """The digest of a file; None if it is not there or cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
