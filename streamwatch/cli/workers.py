"""--engine, --address and --workers: who does the work of `fit`, `evaluate` and `backtest`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from streamwatch.cli.options import address_option
from streamwatch.cluster.connection import connected
from streamwatch.cluster.mapper import RayMapper
from streamwatch.errors import UsageError
from streamwatch.learning.by_clip.mapper import Mapper

F = TypeVar("F", bound=Callable[..., Any])


def engine_options(function: F) -> F:
    """--engine and --address."""
    choice = click.Choice(["local", "ray"])
    of_whom = "Who reads, embeds and scores: this process, or the workers of a Ray cluster, clip by clip."
    return click.option("--engine", type=choice, default="local", show_default=True, help=of_whom)(address_option(function))


workers_option = click.option(
    "--workers", type=click.IntRange(min=1), help="With --engine ray: clips at once. [default: its CPUs]"
)


@dataclass(frozen=True)
class WorkerChoice:
    """Who does the work.

    Attributes:
        workers: how many at once; None for as many as the cluster has CPUs.
    """

    engine: str
    address: str
    workers: int | None
    device: str = "cpu"

    @classmethod
    def of(cls, context: click.Context, *, device: str = "cpu") -> WorkerChoice:
        """What the command line says.

        Raises:
            UsageError: an option that means nothing without Ray.
        """
        values = context.params
        given = [name for name in ("address", "workers") if context.get_parameter_source(name) == ParameterSource.COMMANDLINE]
        if values["engine"] == "local" and "address" in given:
            raise UsageError("--address goes with --engine ray", hint="give both")
        return cls(values["engine"], values["address"], values["workers"] if "workers" in given else None, device)

    def require_local_without_workers(self) -> None:
        """Raises UsageError for --workers of a command that has no workers but Ray's."""
        if self.engine == "local" and self.workers is not None:
            raise UsageError("--workers goes with --engine ray", hint="give both")

    @contextmanager
    def mapper(self) -> Iterator[Mapper | None]:
        """Who does the work; None for this process. Raises as ``connected``."""
        if self.engine == "local":
            yield None
            return
        with connected(self.address) as ray:
            yield RayMapper(ray, workers=self.workers, gpus_each=_gpus_each(ray, self.device))


def _gpus_each(ray: Any, device: str) -> float:
    """The share of a GPU of a task: as many tasks share one as there are processors to feed it."""
    there = ray.cluster_resources()
    if device == "cpu" or not there.get("GPU"):
        return 0.0
    return float(min(1.0, there["GPU"] / max(there.get("CPU", 1.0), 1.0)))
