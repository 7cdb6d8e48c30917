"""A Ray cluster of this machine, for the tests that need one."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from streamwatch.cluster.connection import OFF


@pytest.fixture(scope="session")
def ray_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a cluster of two CPUs is; commands connect to it one after the other."""
    cluster_utils = pytest.importorskip("ray.cluster_utils", reason="skipped: Ray is not installed")
    os.environ.update(OFF)
    cluster = cluster_utils.Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 2, "object_store_memory": 800 << 20, "include_dashboard": False},
    )
    try:
        yield cluster.address
    finally:
        cluster.shutdown()
