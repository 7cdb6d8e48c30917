"""What of a camera's files is taken from where: pure, file by file."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from streamwatch.model.regime import REGIMES

SUFFIXES = (".history.jsonl", ".previous.safetensors", ".safetensors")
"""Of a camera's files, those that make it what it is, the model last. Inputs are too large to share, and can be read again."""
LESSONS = ".lessons"
_DIGEST, _LESSON = re.compile(r"[0-9a-f]{64}"), re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is shared of one camera.

    Attributes:
        files: sha256 by name.
        before: sha256 of what the manifest before this one named: who reads by that one still finds it.
    """

    files: Mapping[str, str]
    before: frozenset[str] = frozenset()

    @staticmethod
    def parse(text: bytes, camera: str) -> Manifest:
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
        return Manifest(files, before)

    def text(self) -> bytes:
        """As it is written."""
        return json.dumps({"files": dict(self.files), "before": sorted(self.before), "by": os.uname().nodename}).encode()


@dataclass
class Plan:
    """What brings both sides in line, file by file.

    Attributes:
        files: sha256 by name, as both will have them.
        pulled: to be fetched, those in ``aside`` after this machine's own were kept beside.
        pushed: to be shared.
        dropped: to be removed here.
    """

    files: dict[str, str] = field(default_factory=dict)
    pulled: list[str] = field(default_factory=list)
    pushed: list[str] = field(default_factory=list)
    aside: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)

    @staticmethod
    def of(own: Mapping[str, str], shared: Mapping[str, str], known: Mapping[str, str]) -> Plan:
        """Compare what is here, what is shared, and what both had in common last. A model is never removed by its absence."""
        plan = Plan()
        for name in sorted({*own, *shared}, key=lambda one: (place_of(one), one)):
            ours, theirs, before = own.get(name), shared.get(name), known.get(name)
            if ours == theirs:
                plan.files[name] = ours or ""
            elif theirs is not None and (ours == before or (ours is None and is_model(name))):
                plan._take(name, theirs)
            elif ours is not None and (theirs == before or (theirs is None and is_model(name))):
                plan.files[name] = ours
                plan.pushed.append(name)
            elif ours is not None and theirs is not None:
                plan.aside.append(name)
                plan._take(name, theirs)
            elif ours is not None and ours == before:
                plan.dropped.append(name)
            elif ours is not None:
                plan.files[name] = ours
                plan.pushed.append(name)
        return plan

    def _take(self, name: str, digest: str) -> None:
        self.files[name] = digest
        self.pulled.append(name)


def names_in(folder: Path, camera: str) -> Iterator[str]:
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


def is_model(name: str) -> bool:
    """Whether a file is the model of a camera or regime, which nobody takes away: its absence is a mishap."""
    return name.endswith(SUFFIXES[-1]) and not name.endswith(SUFFIXES[-2]) and LESSONS not in name


def place_of(name: str) -> int:
    """Models last: whoever sees one finds what goes with it."""
    return next((place for place, suffix in enumerate(SUFFIXES) if name.endswith(suffix)), -1)
