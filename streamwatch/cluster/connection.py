"""A Ray cluster: one that is there, or one of this machine alone."""

from __future__ import annotations

import importlib
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from streamwatch import __version__
from streamwatch.errors import ClusterError, UsageError

ANSWERS_WITHIN_S = 5.0
NAMESPACE = "streamwatch"
OFF = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DISABLE_IMPORT_WARNING": "1", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
"""Nothing is told to anybody outside, and workers without a GPU see what the machine has, as processes without Ray do."""


@contextmanager
def connected(address: str, *, cpus: int | None = None) -> Iterator[Any]:
    """Ray, connected; let go of at the end.

    Args:
        address: ``auto`` is the cluster that this machine is part of, ``local`` one of this machine alone, which ends with this
            process; else HOST:PORT.
        cpus: how many a local one has; None for the machine's.

    Yields:
        the module ``ray``.

    Raises:
        UsageError: the extra ``cluster`` is not installed; ClusterError: there is no such cluster.
    """
    for name, value in OFF.items():
        os.environ.setdefault(name, value)
    ray = ray_module()
    _require_listener(address if address != "auto" else os.environ.get("RAY_ADDRESS", ""))
    local = {"num_cpus": cpus, "include_dashboard": False} if address == "local" else {}
    try:
        ray.init(address=address, namespace=NAMESPACE, logging_level=logging.ERROR, log_to_driver=False, **local)
    except (ConnectionError, OSError, RuntimeError, ValueError, TimeoutError) as error:
        raise _no_cluster(address, error) from error
    try:
        _require_same_version(ray)
        yield ray
    finally:
        ray.shutdown()


def _require_listener(address: str) -> None:
    """Ray itself would wait for minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        return
    try:
        socket.create_connection((host, int(port)), timeout=ANSWERS_WITHIN_S).close()
    except (OSError, OverflowError) as error:
        raise _no_cluster(address, error) from error


def _no_cluster(address: str, error: Exception) -> ClusterError:
    first = str(error).strip().split("\n", 1)[0].rstrip(".")
    hint = "start one with `ray start --head`, or use --address local"
    return ClusterError(f"no Ray cluster answers ({first})", where=address, hint=hint)


def ray_module() -> Any:
    """Ray, an extra that few have, and which is imported where it is used.

    Raises:
        UsageError: it is not installed.
    """
    try:
        return importlib.import_module("ray")
    except ImportError:
        raise UsageError("Ray is not installed", hint="install streamwatch[cluster]") from None


def _require_same_version(ray: Any) -> None:
    """Workers of another version would bring back what this one does not understand."""
    try:
        theirs = ray.get(ray.remote(num_cpus=0)(_version).remote(), timeout=60)
    except ray.exceptions.RayError as error:
        raise ClusterError(
            "a worker of the Ray cluster cannot run streamwatch", hint=f"install streamwatch {__version__} on every node"
        ) from error
    if theirs != __version__:
        raise ClusterError(f"a worker of the Ray cluster has streamwatch {theirs}, this is {__version__}")


def _version() -> str:
    return __version__
