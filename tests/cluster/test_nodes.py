"""A real Ray cluster of three nodes watches cameras; a node is killed and comes back, and then the head is killed.

``benchmarks.cluster`` does the same with 24 cameras.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks.cluster import has_ended, run
from streamwatch.cluster.shard_process import ShardProcess
from tests.conftest import Cli
from tests.databases import open_admin
from tests.test_retry import FakeClock

pytestmark = [pytest.mark.long, pytest.mark.slow(110), pytest.mark.paced]
SEEN_AGAIN_WITHIN_S = 30.0


def test_a_killed_node_costs_half_a_minute_and_no_event(postgres: str, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="skipped: Ray is not installed")
    admin = open_admin(postgres)
    with admin.connect() as connection:
        connection.exec_driver_sql("CREATE DATABASE nodes")
    admin.dispose()
    found = run(tmp_path, f"{postgres}/nodes", 6, 1.0)
    assert found.moved == 2
    assert found.leased_within_s < SEEN_AGAIN_WITHIN_S
    assert found.seen_within_s < SEEN_AGAIN_WITHIN_S + 10.0, "something strange is there once in 10 s"
    assert found.after_head == 6


def wait_until(holds: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def test_a_shard_outlives_who_began_it_and_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that is begun is a script that waits, with the arguments that `streamwatch run` would have."""
    (tmp_path / "streamwatch.py").write_text("import time\ntime.sleep(60)\n")
    waiting = tmp_path / "python"
    waiting.write_text(f'#!/bin/sh\ncase "$2" in\nstreamwatch) exec {sys.executable} {tmp_path}/streamwatch.py "$@";;\n')
    waiting.write_text(waiting.read_text() + f'*) exec {sys.executable} "$@";;\nesac\n')
    waiting.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(waiting))
    first = ShardProcess("n1", tmp_path / "site.yaml", tmp_path / "cluster")
    assert first.run_once(None).pid is None, "who has no cameras needs no process"
    begun = first.run_once(["b", "a"])
    assert begun.cameras == ("a", "b")
    wait_until(lambda: first.pid is not None)
    pid = first.pid
    assert pid is not None
    try:
        again = ShardProcess("n1", tmp_path / "site.yaml", tmp_path / "cluster")
        assert again.run_once(None) == again.run_once(("a", "b"))
        assert again.pid == pid, "no second one was begun"
        assert json.loads((tmp_path / "cluster/n1.json").read_text()) == {"cameras": ["a", "b"]}
        assert os.getsid(pid) == pid
        again.stop()
        wait_until(lambda: has_ended(pid))
        assert first.pid is None
    finally:
        if not has_ended(pid):
            os.kill(pid, signal.SIGKILL)


def test_a_shard_that_ends_at_once_is_begun_ever_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: None)
    clock = FakeClock()
    shard = ShardProcess("n1", tmp_path / "site.yaml", tmp_path, clock)
    begun_s: list[float] = []
    for _second in range(200):
        before = shard.run_once(None).started
        if shard.run_once(["yard"]).started > before:
            begun_s.append(clock.monotonic_s())
        clock.wait(threading.Event(), 1.0)
    gaps = [later - earlier for earlier, later in pairwise(begun_s)]
    assert gaps[:4] == [2.0, 4.0, 8.0, 16.0]
    assert max(gaps) <= 60.0


def test_a_number_that_is_another_process_by_now_is_no_shard(tmp_path: Path) -> None:
    shard = ShardProcess("n1", tmp_path / "site.yaml", tmp_path)
    (tmp_path / "n1.pid").write_text(str(os.getpid()))
    assert shard.pid is None
    (tmp_path / "n1.pid").write_text("none")
    assert shard.pid is None


class TestCommands:
    def test_shards_of_several_machines_need_a_shared_database(self, cli: Cli, tmp_path: Path) -> None:
        config = tmp_path / "site.yaml"
        config.write_text("version: 1\ncameras:\n  yard: {source: yard.mp4}\n")
        result = cli("cluster", "run", "-c", config)
        assert result.code == 2
        assert "share a database; set `database` to a PostgreSQL" in result.error_line

    def test_without_a_supervisor_there_is_nothing_to_drain_or_to_stop(self, cli: Cli, ray_address: str) -> None:
        for command in (("drain", "n1"), ("stop",)):
            result = cli("cluster", *command, "--address", ray_address)
            assert result.code == 1
            assert "no supervisor runs in this cluster" in result.error_line

    def test_a_placement_that_is_no_list_is_one_line(self, cli: Cli, tmp_path: Path) -> None:
        config, placement = tmp_path / "site.yaml", tmp_path / "n1.json"
        config.write_text("version: 1\ncameras:\n  yard: {source: yard.mp4}\n")
        placement.write_text("[]")
        result = cli("run", "-c", config, "--placement", placement)
        assert result.code == 2
        assert "no list of cameras" in result.error_line
        result = cli("run", "-c", config, "--placement", placement, "--shard", "0/2")
        assert result.code == 2
        assert "--shard and --placement" in result.error_line
