"""Shards as Ray sees them: an actor on every node, and a supervisor that is an actor, too.

What matters lives outside: a shard is a process of its own that writes to the database itself. Without Ray nothing is placed
anew, and everything goes on.
"""

from __future__ import annotations

import logging
import re
import threading
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamwatch.clock import SystemClock
from streamwatch.cluster.connection import ray_module
from streamwatch.cluster.measured_capacity import MeasuredCapacity, bench_arguments
from streamwatch.cluster.shard_process import ShardProcess, ShardState
from streamwatch.cluster.supervisor import ClusterState, Supervisor
from streamwatch.config.loading import load_config
from streamwatch.errors import ClusterError
from streamwatch.retry import caught

log = logging.getLogger(__name__)
SUPERVISOR = "supervisor"
EVERY_S = 1.0
HEAD = "node:__internal_head__"
STARTS_WITHIN_S = 60.0
DRAINED = "drained.json"
GPU_SHARE = 0.01
"""Enough to be given a GPU: `fit --engine ray` beside the shards takes the rest."""
ANSWERS_WITHIN_S = 10.0
"""A shard's worker starts Python and a process first."""


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """What the command line says.

    Attributes:
        capacity_fps: what a shard carries; None takes each node's processors, so that only their shares matter.
        measured: each shard's machine is measured by `streamwatch bench` before it watches.
        folder: where shards keep their files.
        started_in: what relative paths of the configuration are taken from, on every node.
    """

    config: Path
    folder: Path
    started_in: Path
    capacity_fps: float | None = None
    measured: bool = False


@dataclass(frozen=True, slots=True)
class Slot:
    """Where one shard runs: a node, or one of its GPUs."""

    name: str
    node_id: str
    gpus: float
    capacity: float


def slots_of(nodes: Collection[Mapping[str, Any]], capacity_fps: float | None) -> list[Slot]:
    """One for each GPU of a living node, and one for a node without.

    Args:
        nodes: as ``ray.nodes()`` has them.
    """
    alive = [node for node in nodes if node["Alive"]]
    names = Counter(_name_of(node) for node in alive)
    slots: list[Slot] = []
    for node in alive:
        name, resources = _name_of(node), node["Resources"]
        name = name if names[name] == 1 else f"{name}-{node['NodeID'][:8]}"
        gpus = int(resources.get("GPU", 0))
        each = capacity_fps or max(float(resources.get("CPU", 1.0)), 1.0) / max(gpus, 1)
        if not gpus:
            slots.append(Slot(name, node["NodeID"], 0.0, each))
        slots += [Slot(f"{name}-gpu{number}", node["NodeID"], 1.0, each) for number in range(gpus)]
    return slots


def _name_of(node: Mapping[str, Any]) -> str:
    """A name that a node has again when it comes back, good for a file; by `ray start --node-name`, or its address."""
    return re.sub(r"[^A-Za-z0-9.-]+", "-", str(node.get("NodeName") or node["NodeManagerAddress"])).strip("-.") or "node"


class ShardActor:
    """A shard's worker on its node."""

    def __init__(self, name: str, options: ClusterOptions) -> None:
        self._process = ShardProcess(name, options.config, options.folder, started_in=options.started_in)
        self._name, self._options = name, options
        self._capacity: MeasuredCapacity | None = None

    def capacity(self) -> float | None:
        """What its machine carries; None while that is measured. Raises as ``MeasuredCapacity.now`` and ``load_config``."""
        if self._capacity is None:
            arguments = bench_arguments(load_config(self._options.config))
            self._capacity = MeasuredCapacity(self._options.folder / f"{self._name}.capacity.json", arguments)
        return self._capacity.now(busy=self._process.pid is not None)

    def run_once(self, cameras: Collection[str] | None) -> ShardState:
        """See ``ShardProcess.run_once``."""
        return self._process.run_once(cameras)

    def stop(self) -> None:
        """See ``ShardProcess.stop``."""
        self._process.stop()
        if self._capacity:
            self._capacity.stop()


class RayShards:
    """The shards of a Ray cluster (``supervisor.Cluster``): made where a node has none, found again where it has."""

    def __init__(self, ray: Any, options: ClusterOptions) -> None:
        self._ray, self._options = ray, options
        self._slots: dict[str, Slot] = {}
        self._actors: dict[str, Any] = {}
        self._measured: dict[Slot, float] = {}

    def capacities(self) -> Mapping[str, float | None]:
        """See ``Cluster``."""
        self._slots = {slot.name: slot for slot in slots_of(self._ray.nodes(), self._options.capacity_fps)}
        for name in self._actors.keys() - self._slots.keys():
            self._actors.pop(name).stop.remote()  # of a node that is gone, or that has another name by now: that one lives
        if not self._options.measured:
            return {name: slot.capacity for name, slot in self._slots.items()}
        self._ask_capacities()
        return {name: self._measured.get(slot) for name, slot in self._slots.items()}

    def _ask_capacities(self) -> None:
        """Of those that are not known yet."""
        asked = {self._actor(name).capacity.remote(): name for name, slot in self._slots.items() if slot not in self._measured}
        for name, capacity in self._answers(asked).items():
            if capacity is not None:
                self._measured[self._slots[name]] = capacity

    def give(self, cameras: Mapping[str, Collection[str] | None]) -> Mapping[str, ShardState]:
        """See ``Cluster``."""
        asked = {self._actor(name).run_once.remote(mine): name for name, mine in cameras.items() if name in self._slots}
        return {name: state for name, state in self._answers(asked).items() if state is not None}

    def _answers(self, asked: Mapping[Any, str]) -> dict[str, Any]:
        """What shards' workers say; None of one that cannot."""
        if not asked:
            return {}
        done, late = self._ray.wait(list(asked), num_returns=len(asked), timeout=ANSWERS_WITHIN_S)
        for reference in late:
            log.warning("shard %s: its worker does not answer", asked[reference])
        return {asked[reference]: self._answer(asked[reference], reference) for reference in done}

    def stop(self) -> None:
        """Ask every shard to end."""
        asked = [actor.stop.remote() for actor in self._actors.values()]
        if asked:
            self._ray.wait(asked, num_returns=len(asked), timeout=ANSWERS_WITHIN_S)
        for actor in self._actors.values():
            self._ray.kill(actor)  # the next ones are of another configuration, or of another version
        self._actors = {}

    def _answer(self, name: str, reference: Any) -> Any:
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None)
            log.warning("shard %s: %s", name, cause or f"its worker is lost ({type(error).__name__})")
            if cause is None:
                self._actors.pop(name, None)
            return None

    def _actor(self, name: str) -> Any:
        if name not in self._actors:
            slot, scheduling = self._slots[name], self._ray.util.scheduling_strategies
            there = scheduling.NodeAffinitySchedulingStrategy(slot.node_id, soft=False)
            self._actors[name] = (
                self._ray.remote(ShardActor)
                .options(
                    # Of the node it was made on: a node that comes back gets another one, which finds the process.
                    name=f"{name}@{slot.node_id}",
                    get_if_exists=True,
                    lifetime="detached",
                    max_restarts=-1,
                    num_cpus=0,  # the shard itself takes the processors, and is none of Ray's workers
                    num_gpus=GPU_SHARE * slot.gpus,
                    scheduling_strategy=there,
                )
                .remote(name, self._options)
            )
        return self._actors[name]


class SupervisorActor:
    """The supervisor, for as long as its cluster: begun anew where it dies, it finds the shards and what they have."""

    def __init__(self, options: ClusterOptions) -> None:
        logging.basicConfig(level=logging.INFO)
        self._options, self._shards = options, RayShards(ray_module(), options)
        self._supervisor = Supervisor(options.config, self._shards, drained=options.folder / DRAINED)
        self._stopping, self._problem = threading.Event(), ""
        self._thread = threading.Thread(target=self._run_forever, name="supervisor", daemon=True)
        self._thread.start()

    def _run_forever(self) -> None:
        clock = SystemClock()
        while not clock.wait(self._stopping, EVERY_S):
            failure = caught(self._run_once)
            if failure is not None and str(failure) != self._problem:
                log.error("nothing is placed: %s", failure)
            self._problem = str(failure or "")

    def _run_once(self) -> None:
        self._supervisor.run_once()

    def asked(self) -> ClusterOptions:
        """What it was begun with."""
        return self._options

    def state(self) -> tuple[ClusterState, str]:
        """What it knows, and why it cannot place anything, if it cannot."""
        return self._supervisor.state, self._problem

    def drain(self, shard: str, on: bool) -> None:
        """See ``Supervisor.drain``."""
        self._supervisor.drain(shard, on=on)

    def stop(self) -> None:
        """Place nothing more, and ask every shard to end."""
        self._stopping.set()
        self._thread.join(2 * ANSWERS_WITHIN_S)
        self._shards.stop()
        (self._options.folder / DRAINED).unlink(missing_ok=True)  # whoever begins the cluster anew knows nothing of it


def begun_supervisor(ray: Any, options: ClusterOptions) -> Any:
    """The supervisor of a cluster, begun if it has none.

    Raises:
        ClusterError: it has one of another configuration.
    """
    actor = (
        ray.remote(SupervisorActor)
        .options(
            name=SUPERVISOR,
            get_if_exists=True,
            lifetime="detached",
            max_restarts=-1,
            max_concurrency=4,
            num_cpus=0,
            resources={HEAD: 0.001},  # on the head: of another machine it would die with that one's shards
        )
        .remote(options)
    )
    if answered(ray, actor.asked.remote()) != options:
        raise ClusterError(
            "this cluster runs another configuration, or with another capacity", hint="`streamwatch cluster stop`"
        )
    return actor


def answered(ray: Any, reference: Any) -> Any:
    """What an actor says.

    Raises:
        ClusterError: it does not answer in time, or is lost.
    """
    try:
        return ray.get(reference, timeout=STARTS_WITHIN_S)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.RayError as error:
        hint = "look at `ray status`, or end it with `streamwatch cluster stop`"
        raise ClusterError(f"the supervisor does not answer ({type(error).__name__})", hint=hint) from error


def ended(ray: Any, supervisor: Any) -> None:
    """End all shards, and the supervisor; raises as ``answered``."""
    try:
        answered(ray, supervisor.stop.remote())
    finally:
        ray.kill(supervisor)


def known_supervisor(ray: Any) -> Any:
    """The supervisor of a cluster.

    Raises:
        ClusterError: it has none.
    """
    try:
        return ray.get_actor(SUPERVISOR)
    except ValueError:
        raise ClusterError("no supervisor runs in this cluster", hint="begin one with `streamwatch cluster run`") from None
