"""Wanted cameras, living shards: what there is brought in line with what there should be, once a second.

It knows nothing of Ray: ``Cluster`` is what it asks for shards, and tests give it another one.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from streamwatch.cluster.measured_capacity import NATIVE_FPS
from streamwatch.cluster.placement import Placement, place
from streamwatch.cluster.shard_process import ShardState
from streamwatch.config.loading import load_config
from streamwatch.config.schema import Config
from streamwatch.errors import StreamwatchError
from streamwatch.files import write_atomically

log = logging.getLogger(__name__)
DEAD_AFTER, TRIED_AGAIN_AFTER = 15, 315
"""Iterations: others take the cameras of a shard that does not come up, and five minutes later it may try again."""


class Cluster(Protocol):
    """The shards that there are."""

    def capacities(self) -> Mapping[str, float | None]:
        """By name of every shard that could watch, what it carries, in frames a second; None while that is measured."""
        ...

    def give(self, cameras: Mapping[str, Collection[str] | None]) -> Mapping[str, ShardState]:
        """Give shards their cameras, None what they have; the state of each that answered."""
        ...


@dataclass(frozen=True)
class ClusterState:
    """What the supervisor knows.

    Attributes:
        measured: shards of which it is not known yet what they carry.
        over: by shard that carries more than it can, by how many frames a second.
        problem: why the configuration in force is not the file's; None if it is.
    """

    shards: Mapping[str, ShardState] = field(default_factory=dict)
    placement: Mapping[str, str] = field(default_factory=dict)
    drained: frozenset[str] = frozenset()
    measured: frozenset[str] = frozenset()
    over: Mapping[str, float] = field(default_factory=dict)
    problem: str | None = None


class Supervisor:
    """Reconciles.

    Args:
        drained: keeps which shards are drained, over the supervisor's own end; None keeps nothing.
        load: reads the configuration; as ``load_config``.
    """

    def __init__(
        self, config: Path, cluster: Cluster, load: Callable[[Path], Config] = load_config, drained: Path | None = None
    ) -> None:
        self._path, self._cluster, self._load = config, cluster, load
        self._loads: Mapping[str, float] | None = None
        self._drained_file, self._draining = drained, threading.Lock()
        self._drained = _read_names(drained) if drained else frozenset[str]()
        self._dead: dict[str, int] = {}
        self.state = ClusterState()

    def drain(self, shard: str, *, on: bool) -> None:
        """Have a shard watch nothing, or let it watch again, from the next iteration on.

        Raises:
            UsageError: this cannot be written down; nothing has changed then.
        """
        with self._draining:
            drained = self._drained | {shard} if on else self._drained - {shard}
            if self._drained_file:
                write_atomically(self._drained_file, json.dumps(sorted(drained)))
            self._drained = drained

    def run_once(self) -> ClusterState:
        """One iteration: who is there, what they have, and then the moves, each camera taken before it is given.

        A shard that does not answer has no cameras: if it lives after all, its leases keep others from them.

        Raises:
            StreamwatchError: there never was a configuration that could be used.
        """
        problem = self._follow()
        asked = self._cluster.capacities()
        capacities = {name: capacity for name, capacity in asked.items() if capacity is not None}
        found = self._cluster.give(dict.fromkeys(capacities))
        before = {**_claimed(found, alive=False), **_claimed(found, alive=True), **self.state.placement}
        self._count_dead(found)
        usable = {name: capacities[name] for name in found if name not in self._drained and not self._given_up(name)}
        placed = place(self._loads or {}, usable, before)
        found = {**found, **self._cluster.give(self._shrunk(found, placed))}
        found = {**found, **self._cluster.give({name: placed.cameras_of(name) for name in found})}
        self._tell(placed, problem)
        self.state = ClusterState(
            found, placed.of, self._drained, frozenset(asked.keys() - capacities.keys()), placed.over, problem
        )
        return self.state

    def _count_dead(self, found: Mapping[str, ShardState]) -> None:
        """For how many iterations in a row each shard did not run although it should."""
        known = {name: self._dead.get(name, 0) for name in found}
        self._dead = {
            name: 0 if found[name].pid is not None or (not found[name].cameras and count < DEAD_AFTER) else count + 1
            for name, count in known.items()
        }
        self._dead = {name: 0 if count >= TRIED_AGAIN_AFTER else count for name, count in self._dead.items()}

    def _given_up(self, name: str) -> bool:
        return self._dead.get(name, 0) >= DEAD_AFTER

    def _follow(self) -> str | None:
        try:
            config = self._load(self._path)
        except StreamwatchError as error:
            if self._loads is None:
                raise
            return str(error)
        self._loads = {camera: _load_of(config, camera) for camera in config.enabled_cameras}
        return None

    @staticmethod
    def _shrunk(found: Mapping[str, ShardState], placed: Placement) -> dict[str, list[str]]:
        """Of each shard that loses cameras, those that it keeps."""
        kept = {name: [camera for camera in state.cameras if placed.of.get(camera) == name] for name, state in found.items()}
        return {name: cameras for name, cameras in kept.items() if len(cameras) < len(found[name].cameras)}

    def _tell(self, placed: Placement, problem: str | None) -> None:
        """What changed since the last iteration."""
        for camera in sorted(placed.of.keys() | self.state.placement.keys()):
            was, now = self.state.placement.get(camera), placed.of.get(camera)
            if was != now:
                log.info("camera %s: %s", camera, f"placed on {now}" if now else "placed nowhere", extra={"camera": camera})
        for shard, frames in sorted(placed.over.items()):
            if shard not in self.state.over:
                log.warning("shard %s: %.1f frames a second more than it carries: frames will be dropped", shard, frames)
        if problem and problem != self.state.problem:
            log.error("configuration not reloaded, the old one goes on: %s", problem)


def _claimed(found: Mapping[str, ShardState], *, alive: bool) -> dict[str, str]:
    """By camera the shard that was given it: what is dead may have been so long, and others watch its cameras."""
    shards = [state for _name, state in sorted(found.items()) if (state.pid is not None) == alive]
    return {camera: state.name for state in shards for camera in state.cameras}


def _read_names(path: Path) -> frozenset[str]:
    """Those that were written down; none of a file that is not there, or is damaged: a shard that watches is no harm."""
    with suppress(OSError, ValueError, TypeError):
        return frozenset(map(str, json.loads(path.read_text(encoding="utf-8"))))
    return frozenset()


def _load_of(config: Config, camera: str) -> float:
    fps = config.settings(camera).fps
    return NATIVE_FPS if fps == "native" else float(fps)
