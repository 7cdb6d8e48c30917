"""A site in one file: its models, events, labels, evidence and configuration, to keep or to move.

A tar archive with ``manifest.json`` last, which names every file with its size and sha256. SQLite's database is copied by its
own online backup, so that a daemon may go on meanwhile; a database by URL is its owner's to back up.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from streamwatch import __version__
from streamwatch.config.schema import Config
from streamwatch.errors import UsageError
from streamwatch.evidence.layout import KINDS
from streamwatch.files import replacing, sha256_of

FORMAT = 1
MANIFEST, CONFIGURATION, DATABASE = "manifest.json", "configuration.yaml", "events.db"
_PLACES = frozenset({"models", DATABASE, CONFIGURATION, *KINDS})


@dataclass(frozen=True)
class Contents:
    """What a backup holds.

    Attributes:
        database: whether the events are in it; not if they are in a database by URL.
    """

    files: int
    bytes: int
    database: bool


def write_backup(config: Config, config_path: Path, out: Path, *, evidence: bool) -> Contents:
    """Write a backup of a site: complete, or not at all; readable by nobody else, because it may hold what cameras saw.

    Raises:
        UsageError: something cannot be read or written.
    """
    entries: dict[str, dict[str, Any]] = {}
    try:
        with replacing(out) as temporary, tempfile.TemporaryDirectory(dir=out.parent) as folder:
            temporary.touch(mode=0o600)
            with tarfile.open(temporary, "w") as archive:
                for name, path in _files(config, config_path, Path(folder), evidence=evidence):
                    entries |= _added(archive, name, path)
                _add_manifest(archive, entries)
    except (OSError, sqlite3.Error, tarfile.TarError) as error:
        raise UsageError(f"cannot be written ({error})", where=out, hint="check the folder and free space") from None
    return _contents(entries)


def _files(config: Config, config_path: Path, working: Path, *, evidence: bool) -> Iterator[tuple[str, Path]]:
    """Archive name and path of everything that belongs to the site."""
    yield CONFIGURATION, config_path
    data_dir = config.data_dir
    if config.database is None and (data_dir / DATABASE).is_file():
        yield DATABASE, _copy_of(data_dir / DATABASE, working / DATABASE)
    folders = ["models", *(KINDS if evidence else ())]
    for folder in folders:
        for path in sorted((data_dir / folder).rglob("*")):
            kept_inputs = any(part.endswith(".inputs") for part in path.relative_to(data_dir).parts)
            if path.is_file() and not path.name.startswith(".") and not kept_inputs:
                yield path.relative_to(data_dir).as_posix(), path


class _Hashing(io.RawIOBase):
    """Reads a file and digests what was read: a clip may grow meanwhile, and what is in the archive is what counts."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        content = self._file.read(size)
        self.digest.update(content)
        return content


def _added(archive: tarfile.TarFile, name: str, path: Path) -> dict[str, dict[str, Any]]:
    """Add a file as it is now; nothing for evidence that retention has just taken."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        if name.partition("/")[0] in KINDS:
            return {}
        raise
    with file:
        member, hashing = archive.gettarinfo(arcname=name, fileobj=file), _Hashing(file)
        archive.addfile(member, hashing)
    return {name: {"bytes": member.size, "sha256": hashing.digest.hexdigest()}}


def _copy_of(database: Path, target: Path) -> Path:
    with contextlib.closing(sqlite3.connect(database)) as source, contextlib.closing(sqlite3.connect(target)) as copy:
        source.backup(copy)
        (said,) = copy.execute("PRAGMA quick_check(1)").fetchone()
    if said != "ok":
        raise UsageError("the database is damaged", where=database, hint="restore an older backup, or remove it and begin anew")
    return target


def _add_manifest(archive: tarfile.TarFile, entries: dict[str, dict[str, Any]]) -> None:
    content = json.dumps({"format": FORMAT, "streamwatch": __version__, "files": entries}, indent=1).encode()
    member = tarfile.TarInfo(MANIFEST)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def restore_backup(archive: Path, data_dir: Path, config_out: Path | None, *, force: bool) -> Contents:
    """Put a backup's files into ``data_dir``, which must not hold a site unless ``force`` replaces what it has.

    Everything is unpacked beside it and checked before the first file is put into its place.

    Raises:
        UsageError: it is no backup, is damaged, or there is a site already; nothing has been changed then.
    """
    taken = [name for name in ("models", DATABASE) if (data_dir / name).exists()]
    if taken and not force:
        raise UsageError(f"holds a site already ({', '.join(taken)})", where=data_dir, hint="restore elsewhere, or use --force")
    if config_out is not None and config_out.exists() and not force:
        raise UsageError("exists already", where=config_out, hint="name another file, or use --force")
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=data_dir, prefix=".restore-") as folder:
            entries = _unpacked(archive, Path(folder))
            if config_out is not None and CONFIGURATION not in entries:
                raise UsageError("holds no configuration", where=archive, hint="leave out --config-out")
            _put_in_place(Path(folder), data_dir, config_out, entries)
    except (OSError, tarfile.TarError) as error:
        raise UsageError(f"cannot be restored ({error})", where=archive, hint="check the file and free space") from None
    return _contents(entries)


def _unpacked(archive: Path, folder: Path) -> dict[str, dict[str, Any]]:
    """Unpack into a folder, and check every file against the manifest."""
    with tarfile.open(archive, "r:") as file:
        members = file.getmembers()
        if not all(_is_one_of_ours(member) for member in members):
            raise UsageError("not a backup of streamwatch", where=archive)
        if sum(member.size for member in members) > archive.stat().st_size:  # sparse, or headers that lie
            raise UsageError("says that it holds more than it does", where=archive, hint="take another backup")
        for member in members:
            _unpack(file, member, folder / member.name)
    version, entries = _manifest_in(folder, archive)
    if version != FORMAT:
        raise UsageError(
            f"backup format {version}, and this streamwatch reads {FORMAT}", where=archive, hint="update streamwatch"
        )
    for name, entry in entries.items():
        if not (folder / name).is_file() or sha256_of(folder / name) != entry["sha256"]:
            raise UsageError(f"damaged: {name} is not what it was", where=archive, hint="take another backup")
    return entries


def _is_one_of_ours(member: tarfile.TarInfo) -> bool:
    return member.isreg() and not member.issparse() and (member.name == MANIFEST or _is_of_a_site(member.name))


def _manifest_in(folder: Path, archive: Path) -> tuple[object, dict[str, dict[str, Any]]]:
    """The format that the manifest says, and its files; of another format these may be anything."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        version, entries = manifest["format"], manifest["files"]
        sound = isinstance(entries, dict) and all(_is_entry(name, entry) for name, entry in entries.items())
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise UsageError("not a backup of streamwatch", where=archive) from None
    if version == FORMAT and not sound:
        raise UsageError("not a backup of streamwatch", where=archive)
    return version, entries


def _is_entry(name: str, entry: object) -> bool:
    """A manifest's line; a name that a file system cannot hold is of no file."""
    return (
        _is_of_a_site(name)
        and "\0" not in name
        and name.isprintable()
        and isinstance(entry, dict)
        and isinstance(entry.get("bytes"), int)
        and isinstance(entry.get("sha256"), str)
    )


def _unpack(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    """Write one file. `extractall` would need its filters, which Python has from 3.11.4 on: Debian 12 has 3.11.2."""
    content = archive.extractfile(member)
    if content is None:
        raise tarfile.ReadError(f"{member.name} has no content")
    path.parent.mkdir(parents=True, exist_ok=True)
    with content, path.open("wb") as file:
        shutil.copyfileobj(content, file)
    path.chmod(member.mode & 0o644 | 0o600)


def _is_of_a_site(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return bool(parts) and ".." not in parts and parts[0] in _PLACES


def _put_in_place(folder: Path, data_dir: Path, config_out: Path | None, entries: dict[str, dict[str, Any]]) -> None:
    for name in entries:
        if name not in (CONFIGURATION, DATABASE):
            (data_dir / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.move(folder / name, data_dir / name)  # a folder may be on another disk
    if DATABASE in entries:
        for suffix in ("-wal", "-shm"):  # of the database that is replaced
            (data_dir / f"{DATABASE}{suffix}").unlink(missing_ok=True)
        shutil.move(folder / DATABASE, data_dir / DATABASE)
    if config_out is not None:
        shutil.copyfile(folder / CONFIGURATION, config_out)
        config_out.chmod(0o600)


def _contents(entries: dict[str, dict[str, Any]]) -> Contents:
    return Contents(len(entries), sum(entry["bytes"] for entry in entries.values()), DATABASE in entries)
