"""`streamwatch cluster status`: who watches what."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streamwatch.clock import SystemClock
from streamwatch.store.processes.leases import CameraLeases
from streamwatch.store.processes.reports import ProcessReport, write_report
from streamwatch.store.sessions import open_database
from tests.conftest import Cli


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "site.yaml"
    cameras = {name: {"source": f"rtsp://127.0.0.1/{name}"} for name in ("dock", "gate", "yard")}
    path.write_text(json.dumps({"version": 1, "data_dir": str(tmp_path / "data"), "cameras": cameras}))
    return path


def test_each_camera_with_the_process_that_watches_it(config: Path, cli: Cli) -> None:
    database = open_database(None, config.parent / "data")
    CameraLeases(database, "shard 0/2 of one", clock=SystemClock(), lasts_s=600).hold(["dock", "elsewhere"])
    CameraLeases(database, "shard 1/2 of two", clock=SystemClock(), lasts_s=0).hold(["gate"])
    CameraLeases(database, "shard 2/3 of three", clock=SystemClock(), lasts_s=600).hold(["yard"])
    process = ProcessReport("shard 2/3 of three", "2/3", "watch-3", "http://10.0.0.3:8466", "1.0.0", 0.0, {})
    write_report(database, process, SystemClock())
    database.dispose()
    lines = cli("cluster", "status", "-c", str(config)).out.splitlines()
    assert lines[0].startswith("camera dock: shard 0/2 of one, until 20")
    assert lines[1] == "camera gate: nobody", "a lease that has ended is nobody's"
    assert lines[2].startswith("camera yard: shard 2/3 of three on watch-3, until 20")
    assert lines[2].endswith("Z, http://10.0.0.3:8466")
    document = json.loads(cli("cluster", "status", "-c", str(config), "--json").out)
    assert [(one["camera"], one["process"], one["token"]) for one in document["cameras"]] == [
        ("dock", "shard 0/2 of one", 1),
        ("gate", None, 0),
        ("yard", "shard 2/3 of three", 1),
    ]


@pytest.mark.parametrize("capacity", ["none", "0", "-1", "nan", "inf"])
def test_a_capacity_is_a_number_or_measured(config: Path, cli: Cli, capacity: str) -> None:
    result = cli("cluster", "run", "-c", str(config), "--capacity", capacity)
    assert result.code == 2
    assert "neither a number of frames a second nor `bench`" in result.err


def test_a_site_that_never_ran_is_said_so(config: Path, cli: Cli) -> None:
    result = cli("cluster", "status", "-c", str(config))
    assert result.code == 2
    assert "there is no event database" in result.err
