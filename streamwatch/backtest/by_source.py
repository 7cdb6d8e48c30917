"""Recordings replayed by workers: each is watched by itself anyway."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from streamwatch.backtest.replay import Replayed, ReplayedEvent, of_recording, replay
from streamwatch.config.schema import Config
from streamwatch.learning.by_clip.mapper import Mapper
from streamwatch.recalibration.in_force import InForce
from streamwatch.scenes.policy import CalibratedPolicy


@dataclass(frozen=True)
class ReplayWork:
    """What all recordings have in common; see ``replay``."""

    config: Config
    camera: str
    policies: Mapping[str, CalibratedPolicy]
    regime: str | None
    in_force: InForce


@dataclass(frozen=True)
class _Sent:
    """A replay on its way, with the pictures that lie on the worker's disk."""

    replayed: Replayed
    pictures: Mapping[Path, bytes]


def replay_by_source(work: ReplayWork, sources: Sequence[str], folder: Path, mapper: Mapper) -> Iterator[Replayed]:
    """Replay every recording, in order, its pictures in ``folder``; raises as ``replay`` and ``Mapper.map``."""
    config = of_recording(work.config, work.camera, "")  # no password travels
    work = replace(work, config=config.model_copy(update={"data_dir": config.data_dir.absolute()}))
    for number, sent in enumerate(mapper.map(_replay, work, [_for_anybody(source) for source in sources])):
        yield _unpacked(sent, sources[number], folder / str(number))


def _for_anybody(source: str) -> str:
    """A path that does not depend on where a process was started."""
    return source if ":" in source and not Path(source).exists() else str(Path(source).absolute())


def _replay(work: ReplayWork, source: str) -> _Sent:
    with TemporaryDirectory(prefix="streamwatch-backtest-") as folder:
        replayed = replay(
            work.config,
            work.camera,
            source,
            Path(folder),
            work.policies,
            on_frames=lambda _frames: None,
            regime=work.regime,
            in_force=work.in_force,
        )
        shown = [event.snapshot for event in (*replayed.events, *replayed.near_misses) if event.snapshot]
        return _Sent(replayed, {path: path.read_bytes() for path in shown})


def _unpacked(sent: _Sent, source: str, folder: Path) -> Replayed:
    def here(event: ReplayedEvent) -> ReplayedEvent:
        if event.snapshot is None:
            return event
        path = folder / f"{event.event.id}{event.snapshot.suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(sent.pictures[event.snapshot])
        return replace(event, snapshot=path)

    replayed = sent.replayed
    events, near = tuple(map(here, replayed.events)), tuple(map(here, replayed.near_misses))
    return replace(replayed, source=source, events=events, near_misses=near)
