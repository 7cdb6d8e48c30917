"""A store of models: a folder, or anything that fsspec opens."""

from __future__ import annotations

import fcntl
import hashlib
import importlib
import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from streamwatch.errors import ConfigError, ModelFileError, SharedModelsError, StreamwatchError
from streamwatch.files import flush_folder, flush_to_disk, sha256_of, temporary_beside, write_atomically
from streamwatch.ids import uuid7
from streamwatch.masking import mask_credentials, mask_url
from streamwatch.retry import caught
from streamwatch.scenes.shared_models.common import CommonState, Known, Stamp
from streamwatch.scenes.shared_models.plan import Manifest, Plan, names_in

log = logging.getLogger(__name__)


class Sync(Enum):
    """What bringing a camera's files in line came to."""

    SAME = "same"
    PULLED = "pulled"
    PUSHED = "pushed"


@dataclass(frozen=True, slots=True)
class _Own:
    """One of this machine's files, as it was when its hash was taken."""

    digest: str
    stamp: Stamp


class SharedModels:
    """The models of a site's cameras.

    Args:
        url: a folder, or anything that fsspec opens.
        folder: this machine's own files.

    Raises:
        ConfigError: the URL is of a kind that is not installed.
    """

    def __init__(self, url: str, folder: Path) -> None:
        fsspec = importlib.import_module("fsspec")  # by those who share models alone
        self._folder, self._shown = folder, mask_url(url)
        try:
            self._files, root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            hint = "install what fsspec names, or share a folder"
            raise ConfigError(f"{self._shown} cannot be opened ({error})", where="shared_models", hint=hint) from None
        self._root = str(root).rstrip("/")
        self._is_folder = "file" in (self._files.protocol if isinstance(self._files.protocol, tuple) else ())

    def sync(self, camera: str) -> Sync:
        """Bring this machine's files of a camera and the shared ones in line.

        What changed on one side is taken to the other. What changed on both is as it is shared; the own file is kept beside.
        Processes of one machine do so in turn. A file that is replaced meanwhile is left for the next time.

        Raises:
            SharedModelsError: the store cannot be reached, or has lost what it had; ModelFileError: what is shared is damaged.
        """
        done = list[Sync]()
        failure = caught(lambda: done.append(self._sync_in_turn(camera)))  # each kind of store raises errors of its own
        if isinstance(failure, _ChangingNow):
            return Sync.SAME
        if isinstance(failure, StreamwatchError):
            raise failure
        if failure is not None:
            hint = "this machine's own are used meanwhile; check the network and the rights"
            what = f"cannot be reached ({type(failure).__name__}: {mask_credentials(str(failure))})"
            raise SharedModelsError(what, where=f"shared models, {self._shown}", hint=hint) from failure
        return done[0]

    def _sync_in_turn(self, camera: str) -> Sync:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / f".{camera}.shared.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return self._sync(camera)

    def _sync(self, camera: str) -> Sync:
        note = CommonState(self._folder / f".{camera}.shared.json", self._root)
        known, shared = note.read(), self._manifest(camera)
        if shared is None and known.files:
            hint = f"is it mounted? If it was emptied on purpose, remove {note.path}"
            raise SharedModelsError("the store has nothing of what it had", where=f"shared models, {self._shown}", hint=hint)
        own = {name: self._own(name, known) for name in names_in(self._folder, camera)}
        theirs = shared.files if shared else {}
        plan = Plan.of({name: of.digest for name, of in own.items()}, theirs, known.files)
        if not plan.files:
            return Sync.SAME
        self._pull(camera, plan, own)
        if plan.files != theirs:
            self._push(camera, plan, own, shared)
        stamps = {name: own[name].stamp if name in own and name not in plan.pulled else None for name in plan.files}
        note.write(Known(plan.files, stamps), known)
        if plan.pulled or plan.dropped:
            log.info("camera %s: another machine's model is taken up", camera, extra={"camera": camera})
            return Sync.PULLED
        return Sync.PUSHED if plan.files != theirs else Sync.SAME

    def _pull(self, camera: str, plan: Plan, own: Mapping[str, _Own]) -> None:
        """All is fetched before anything here is replaced, and nothing that was replaced here meanwhile."""
        with ExitStack() as stack:
            fetched = {name: stack.enter_context(self._fetched(camera, name, plan.files[name])) for name in plan.pulled}
            for name in (*plan.pulled, *plan.dropped):
                if _stamp(self._folder / name) != (own[name].stamp if name in own else None):
                    raise _ChangingNow
            for name in plan.aside:
                self._keep_aside(camera, name)
            for name, temporary in fetched.items():
                temporary.replace(self._folder / name)
            for name in plan.dropped:
                (self._folder / name).unlink(missing_ok=True)
            flush_folder(self._folder)

    def _keep_aside(self, camera: str, name: str) -> None:
        path = self._folder / name
        aside = path.with_name(f".{path.name}.{uuid7(path.stat().st_mtime)[:13]}.own")
        shutil.copy2(path, aside)
        what = "camera %s: %s was changed here and elsewhere; ours is kept as %s"
        log.error(what, camera, name, aside.name, extra={"camera": camera})

    @contextmanager
    def _fetched(self, camera: str, name: str, digest: str) -> Iterator[Path]:
        """A file beside its place, checked and on the disk; removed at the end if it is still there."""
        (self._folder / name).parent.mkdir(parents=True, exist_ok=True)
        temporary = temporary_beside(self._folder / name)
        try:
            self._files.get_file(self._blob(camera, digest), str(temporary))
            if sha256_of(temporary) != digest:
                hint = "learn it again, or put back what was there"
                raise ModelFileError("what is shared is not what its hash says", where=f"{self._shown}, {name}", hint=hint)
            flush_to_disk(temporary)
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)

    def _push(self, camera: str, plan: Plan, own: Mapping[str, _Own], shared: Manifest | None) -> None:
        """The manifest last, and only if what was sent is what its hash says: a file may be replaced while it is sent."""
        self._files.makedirs(f"{self._root}/{camera}", exist_ok=True)
        for name in plan.pushed:
            path, local = self._blob(camera, own[name].digest), self._folder / name
            if not self._files.exists(path) or self._files.size(path) != own[name].stamp[0]:
                self._files.put_file(str(local), path)
                if _stamp(local) != own[name].stamp:
                    self._files.rm_file(path)
                    raise _ChangingNow
        was = frozenset(shared.files.values()) if shared else frozenset()
        self._write_manifest(camera, Manifest(plan.files, was))
        for digest in (shared.before if shared else frozenset()) - was - frozenset(plan.files.values()):
            with suppress(FileNotFoundError):
                self._files.rm_file(self._blob(camera, digest))
        log.info("camera %s: its model is shared, %d files", camera, len(plan.files), extra={"camera": camera})

    def _write_manifest(self, camera: str, manifest: Manifest) -> None:
        """Whole or not at all: object stores put so, and a folder is written to as any of ours."""
        if self._is_folder:
            write_atomically(Path(self._manifest_path(camera)), manifest.text())
        else:
            self._files.pipe_file(self._manifest_path(camera), manifest.text())

    def _manifest(self, camera: str) -> Manifest | None:
        self._files.invalidate_cache()
        try:
            return Manifest.parse(self._files.cat_file(self._manifest_path(camera)), camera)
        except FileNotFoundError:
            return None

    def _own(self, name: str, known: Known) -> _Own:
        """A file of this machine, with its hash; one that cannot be read is no file that was removed."""
        stamp = _stamp(self._folder / name)
        if stamp is None:
            raise _ChangingNow
        if known.stamps.get(name) == stamp and name in known.files:
            return _Own(known.files[name], stamp)
        with (self._folder / name).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if _stamp(self._folder / name) != stamp:
            raise _ChangingNow
        return _Own(digest, stamp)

    def _manifest_path(self, camera: str) -> str:
        return f"{self._root}/{camera}.json"

    def _blob(self, camera: str, digest: str) -> str:
        return f"{self._root}/{camera}/{digest}"


class _ChangingNow(Exception):
    """A file was replaced while it was looked at."""


def _stamp(path: Path) -> Stamp | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns, status.st_ino]
