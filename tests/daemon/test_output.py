"""A daemon whose output nobody reads, or whose reader leaves: it watches on, stores what happens, stops when it is told."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from streamwatch.store.event_store import EventQuery, EventStore
from streamwatch.store.sessions import open_database
from tests.conftest import REPOSITORY, encode, moving_square, run_command
from tests.daemon.test_service import free_port, write_config

pytestmark = pytest.mark.slow(60)
PIPE_BYTES = 4096
STOPS_WITHIN_S = 15.0


@pytest.fixture
def config(learned: Path, tmp_path: Path) -> Path:
    """The same with a database of its own: what one run watched would raise the next one's thresholds."""
    document = json.loads(learned.read_text())
    (tmp_path / "data/models").mkdir(parents=True)
    (tmp_path / "data/models/yard.safetensors").hardlink_to(learned.parent / "data/models/yard.safetensors")
    document |= {"data_dir": str(tmp_path / "data"), "metrics": {"listen": f"127.0.0.1:{free_port()}"}}
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps(document))
    return path


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A camera that shows something strange all the time."""
    folder = tmp_path_factory.mktemp("output")
    encode(folder / "normal.mp4", moving_square(200))
    pictures = list(moving_square(300, noise_seed=4))
    for number, picture in enumerate(pictures):
        if 5 < number % 40 < 18:
            picture[80:110, 10:50] = (255, 240, 0)
    encode(folder / "today.mp4", iter(pictures))
    camera: dict[str, object] = {"source": str(folder / "today.mp4"), "normal": [str(folder / "normal.mp4")]}
    path = write_config(folder, {"yard": camera}, logging={"level": "debug"})
    run_command("fit", "-c", path, "yard")
    return path


@contextmanager
def running(config: Path, stdout: int, stderr: int) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "streamwatch", "run", "-c", str(config)]
    with subprocess.Popen(command, stdout=stdout, stderr=stderr, cwd=REPOSITORY) as process:
        try:
            yield process
        finally:
            process.kill()


def full_pipe() -> tuple[int, int]:
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    os.set_blocking(writing, False)
    while True:
        try:
            os.write(writing, b"x" * PIPE_BYTES)
        except BlockingIOError:
            break
    os.set_blocking(writing, True)
    return reading, writing


def wait_for_ended_events(config: Path, process: subprocess.Popen[bytes], count: int) -> None:
    until_s = time.monotonic() + 90
    while time.monotonic() < until_s:
        assert process.poll() is None, "it ended"
        if (config.parent / "data/events.db").exists():
            store = EventStore(open_database(None, config.parent / "data"))
            ended = [event for event in store.list_events(EventQuery(limit=1000)) if event.end_wall_s is not None]
            store.close()
            if len(ended) >= count:
                return
        time.sleep(0.2)
    raise AssertionError("too few events were stored")


def stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    assert process.wait(STOPS_WITHIN_S) == 0


def test_nobody_reads_standard_output_and_the_log(config: Path) -> None:
    (out, full_out), (err, full_err) = full_pipe(), full_pipe()
    with running(config, full_out, full_err) as process:
        wait_for_ended_events(config, process, 2)
        listen = json.loads(config.read_text())["metrics"]["listen"]
        exposition = httpx.get(f"http://{listen}/metrics", trust_env=False).text
        assert 'streamwatch_lines_dropped_total{stream="stdout"} 0.0' in exposition, "some kilobytes wait"
        stop(process)
    for descriptor in (out, full_out, err, full_err):
        os.close(descriptor)


def test_the_reader_of_standard_output_leaves(config: Path, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with (tmp_path / "log").open("wb") as log, running(config, writing, log.fileno()) as process:
        wait_for_ended_events(config, process, 2)
        stop(process)
    os.close(writing)
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_a_reload_that_is_asked_for_while_it_starts_ends_nothing(config: Path, tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log, running(config, subprocess.DEVNULL, log.fileno()) as process:
        time.sleep(1.0)  # the interpreter and click
        until_s = time.monotonic() + 20
        while "configuration reloaded" not in (tmp_path / "log").read_text() and time.monotonic() < until_s:
            process.send_signal(signal.SIGHUP)
            time.sleep(0.1)
            assert process.poll() is None
        stop(process)
    assert "configuration reloaded" in (tmp_path / "log").read_text()
