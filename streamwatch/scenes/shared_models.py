"""Models that several machines share: a folder or any URL that fsspec opens, kept in line with each machine's own files.

Everything reads and writes the files in ``data_dir``, as where nothing is shared. Shared are, for each camera, a manifest that
names its files by their sha256, and the files under these names. A file that is read is checked against its name, and the
manifest is written last, so that nobody takes half a model.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from pathlib import Path

from streamwatch.config.schema import Config
from streamwatch.errors import ConfigError, ModelFileError, SharedModelsError, StreamwatchError
from streamwatch.files import replacing, sha256_of, write_atomically
from streamwatch.masking import mask_url
from streamwatch.model.regime import REGIMES

log = logging.getLogger(__name__)
SUFFIXES = (".history.jsonl", ".previous.safetensors", ".safetensors")
"""Of a camera's files, those that make it what it is, the model last. Inputs are too large to share, and can be read again."""
LESSONS = ".lessons"
_DIGEST, _LESSON = re.compile(r"[0-9a-f]{64}"), re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")


class Sync(Enum):
    """What bringing a camera's files in line came to."""

    SAME = "same"
    PULLED = "pulled"
    PUSHED = "pushed"


@dataclass(frozen=True, slots=True)
class _Manifest:
    """What is shared of one camera.

    Attributes:
        files: sha256 by name.
        before: sha256 of what the manifest before this one named: who reads by that one still finds it.
    """

    files: Mapping[str, str]
    before: frozenset[str] = frozenset()

    @staticmethod
    def parse(text: bytes, camera: str) -> _Manifest:
        """Raises ValueError for anything else, and for a name that is none of this camera's files."""
        document = json.loads(text)
        try:
            files = {str(name): str(digest) for name, digest in document["files"].items()}
            before = frozenset(map(str, document["before"]))
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError("it is no manifest") from error
        if not all(_DIGEST.fullmatch(digest) for digest in (*files.values(), *before)):
            raise ValueError("its hashes are none")
        if strange := [name for name in files if not _is_of(name, camera)]:
            raise ValueError(f"{strange[0]!r} is none of its files")
        return _Manifest(files, before)

    def text(self) -> bytes:
        """As it is written."""
        return json.dumps({"files": dict(self.files), "before": sorted(self.before), "by": os.uname().nodename}).encode()


@dataclass(frozen=True)
class _Known:
    """What a machine and the store had in common last, and each file's stamp then: it is not read again for its hash."""

    files: Mapping[str, str] = field(default_factory=dict)
    stamps: Mapping[str, list[int] | None] = field(default_factory=dict)


class SharedModels:
    """The models of a site's cameras.

    Args:
        url: a folder, or anything that fsspec opens.
        folder: this machine's own files.

    Raises:
        ConfigError: the URL is of a kind that is not installed.
    """

    def __init__(self, url: str, folder: Path) -> None:
        import fsspec  # noqa: PLC0415 - for those who share models alone

        self._folder, self._shown = folder, mask_url(url)
        try:
            self._files, root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            hint = "install what fsspec names, or share a folder"
            raise ConfigError(f"{self._shown} cannot be opened ({error})", where="shared_models", hint=hint) from None
        self._root = str(root).rstrip("/")

    def sync(self, camera: str) -> Sync:
        """Bring this machine's files of a camera and the shared ones in line.

        What changed on one side is taken to the other. What changed on both is as it is shared; the own file is kept beside.

        Raises:
            SharedModelsError: the store cannot be reached; ModelFileError: what is shared is damaged.
        """
        try:
            return self._sync(camera)
        except (OSError, ValueError) as error:
            hint = "this machine's own are used meanwhile; check the network and the rights"
            what = f"cannot be reached ({type(error).__name__}: {error})"
            raise SharedModelsError(what, where=f"shared models, {self._shown}", hint=hint) from error

    def _sync(self, camera: str) -> Sync:
        known, shared = self._known(camera), self._manifest(camera)
        own = self._own(camera, known)
        if shared is None or shared.files == known.files:
            if shared is not None and own == shared.files:
                return Sync.SAME
            return self._push(camera, own, shared) if own else Sync.SAME
        theirs = [name for name, digest in own.items() if digest not in (known.files.get(name), shared.files.get(name))]
        self._pull(camera, own, shared, kept=theirs)
        return Sync.PULLED

    def _push(self, camera: str, own: Mapping[str, str], before: _Manifest | None) -> Sync:
        self._files.makedirs(f"{self._root}/{camera}", exist_ok=True)
        for name, digest in own.items():
            path, local = self._blob(camera, digest), self._folder / name
            if not self._files.exists(path) or self._files.size(path) != local.stat().st_size:
                self._files.put_file(str(local), path)
        was = frozenset(before.files.values()) if before else frozenset()
        self._files.pipe_file(self._manifest_path(camera), _Manifest(own, was).text())
        for digest in (before.before if before else frozenset()) - was - frozenset(own.values()):
            with suppress(FileNotFoundError):
                self._files.rm_file(self._blob(camera, digest))
        self._remember(camera, own)
        log.info("camera %s: its model is shared, %d files", camera, len(own), extra={"camera": camera})
        return Sync.PUSHED

    def _pull(self, camera: str, own: Mapping[str, str], shared: _Manifest, kept: list[str]) -> None:
        for name in kept:
            aside = (self._folder / name).with_name(f".{Path(name).name}.own")
            (self._folder / name).replace(aside)
            log.error("camera %s: %s was changed here and elsewhere; ours is kept as %s", camera, name, aside.name)
        for name in sorted(shared.files, key=_place):
            if name in kept or own.get(name) != shared.files[name]:
                self._fetch(camera, name, shared.files[name])
        for name in own.keys() - shared.files.keys():
            (self._folder / name).unlink(missing_ok=True)
        self._remember(camera, shared.files)
        log.info("camera %s: another machine's model is taken up", camera, extra={"camera": camera})

    def _fetch(self, camera: str, name: str, digest: str) -> None:
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            self._files.get_file(self._blob(camera, digest), str(temporary))
            if sha256_of(temporary) != digest:
                hint = "learn it again, or put back what was there"
                raise ModelFileError("what is shared is not what its hash says", where=f"{self._shown}, {name}", hint=hint)

    def _manifest(self, camera: str) -> _Manifest | None:
        self._files.invalidate_cache()
        try:
            return _Manifest.parse(self._files.cat_file(self._manifest_path(camera)), camera)
        except FileNotFoundError:
            return None

    def _own(self, camera: str, known: _Known) -> dict[str, str]:
        """sha256 of this machine's files."""
        found = {name: self._digest(name, known) for name in _names_in(self._folder, camera)}
        return {name: digest for name, digest in found.items() if digest}

    def _digest(self, name: str, known: _Known) -> str | None:
        """None for one that is gone by now."""
        if known.stamps.get(name) == _stamp(self._folder / name) and name in known.files:
            return known.files[name]
        return sha256_of(self._folder / name)

    def _known(self, camera: str) -> _Known:
        with suppress(OSError, ValueError, KeyError, TypeError):
            document = json.loads(self._note(camera).read_text(encoding="utf-8"))
            if document["of"] == self._digest_of_root:
                return _Known(dict(document["files"]), dict(document["stamps"]))
        return _Known()

    def _remember(self, camera: str, files: Mapping[str, str]) -> None:
        stamps = {name: _stamp(self._folder / name) for name in files}
        document = {"of": self._digest_of_root, "files": dict(files), "stamps": stamps}
        write_atomically(self._note(camera), json.dumps(document))

    @property
    def _digest_of_root(self) -> str:
        """Another store is another history; an address may hold a secret."""
        return hashlib.sha256(self._root.encode()).hexdigest()

    def _note(self, camera: str) -> Path:
        return self._folder / f".{camera}.shared.json"

    def _manifest_path(self, camera: str) -> str:
        return f"{self._root}/{camera}.json"

    def _blob(self, camera: str, digest: str) -> str:
        return f"{self._root}/{camera}/{digest}"


def _names_in(folder: Path, camera: str) -> Iterator[str]:
    """A camera's files that are shared, relative to the folder of the models."""
    for stem in (camera, *(f"{camera}@{regime}" for regime in REGIMES)):
        yield from (f"{stem}{suffix}" for suffix in SUFFIXES if (folder / f"{stem}{suffix}").is_file())
        lessons = (path for path in (folder / f"{stem}{LESSONS}").glob("*") if path.is_file() and path.name[0] != ".")
        yield from (path.relative_to(folder).as_posix() for path in lessons)


def _is_of(name: str, camera: str) -> bool:
    """Whether a name is one that a camera's file has: the store may be written by others."""
    stem, _, lesson = name.partition(f"{LESSONS}/")
    known = (camera, *(f"{camera}@{regime}" for regime in REGIMES))
    if lesson:
        return stem in known and _LESSON.fullmatch(lesson) is not None
    return any(name == f"{stem}{suffix}" for stem in known for suffix in SUFFIXES)


def _place(name: str) -> int:
    """Models last: whoever sees one finds what goes with it."""
    return next((place for place, suffix in enumerate(SUFFIXES) if name.endswith(suffix)), -1)


def _stamp(path: Path) -> list[int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns, status.st_ino]


@lru_cache(maxsize=8)
def _store(url: str, folder: Path) -> SharedModels:
    return SharedModels(url, folder)


def shared_models_of(config: Config) -> SharedModels | None:
    """A configuration's; None where each machine has its own. Raises as ``SharedModels``."""
    url = config.shared_models.get_secret_value() if config.shared_models else None
    return _store(url, config.data_dir / "models") if url else None


def fetch(config: Config, camera: str) -> Sync:
    """Take up what is shared of a camera's models before they are read; what cannot be had is told, and those here are used.

    Raises:
        ConfigError: see ``SharedModels``.
    """
    store = shared_models_of(config)
    if store is None:
        return Sync.SAME
    try:
        return store.sync(camera)
    except StreamwatchError as error:
        log.warning("%s", error)
        return Sync.SAME


@contextmanager
def shared(config: Config, *cameras: str) -> Iterator[None]:
    """Change the models of cameras: what others changed is taken up before, and what was changed is shared afterwards.

    Raises:
        SharedModelsError: it cannot be shared; this machine's next word to the store does so.
    """
    for camera in cameras:
        fetch(config, camera)
    yield
    if store := shared_models_of(config):
        for camera in cameras:
            store.sync(camera)
