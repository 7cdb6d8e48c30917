"""The demo: on a bare machine, under 90 seconds where a core is as fast as ours was, finding what was planted."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from streamwatch.demo.comparison import compare_with_planted
from streamwatch.demo.rendering import FPS, PLANTED, anomalous_actors, render
from streamwatch.enums import EndReason
from streamwatch.records import Event, Peak
from tests.conftest import REPOSITORY
from tests.test_claims import bare_cnn_fps

MAX_WAIT_S = 90.0
CORE_FPS = 24.0
"""Frames a second of the bare network on one core of the machine that MAX_WAIT_S was set on; a slower one may take longer."""


def core_fps() -> float:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return bare_cnn_fps()
    finally:
        torch.set_num_threads(threads)


@pytest.mark.alone
def test_the_demo_finds_what_was_planted_in_time(tmp_path: Path) -> None:
    environment = {**os.environ, "https_proxy": "http://127.0.0.1:9", "TORCH_HOME": str(tmp_path / "none")}
    command = [sys.executable, "-m", "streamwatch", "demo", "--no-serve", "--out", str(tmp_path / "demo")]
    began_s = time.monotonic()
    result = subprocess.run(command, check=False, capture_output=True, text=True, cwd=REPOSITORY, env=environment)
    took_s, slowness = time.monotonic() - began_s, max(1.0, CORE_FPS / core_fps())
    print(f"\nthe demo took {took_s:.0f} s, on a core that is {slowness:.2f} times as slow")
    assert result.returncode == 0, result.stderr
    assert took_s < slowness * MAX_WAIT_S
    comparison = re.search(r"(\d) of 3 planted anomalies found, (\d+) false alarm", result.stdout)
    assert comparison, result.stdout
    assert (int(comparison[1]), int(comparison[2])) == (3, 0), result.stdout
    assert "UNTRAINED" in result.stdout
    events = [line for line in result.stdout.splitlines() if "truly:" in line]
    assert len(events) >= 3
    assert len(list((tmp_path / "demo/snapshots").glob("*.jpg"))) == len(events)
    assert (tmp_path / "demo/events.db").exists()


def event(peak_s: float) -> Event:
    return Event("id", "square", "", 0.0, 0.0, Peak(9.0, peak_s, peak_s), 5.0, 4.0, 100.0, 100.0, EndReason.NORMAL)


def test_the_verdict_tells_found_missed_and_false() -> None:
    van, cyclist, bag = PLANTED
    comparison = compare_with_planted([event(van.start_s + 1), event(van.end_s + 5)], PLANTED)
    assert comparison.causes == (van, None)
    assert comparison.missed == (cyclist, bag)
    assert comparison.false_alarms == 1


def test_the_scene_is_the_same_every_time_and_the_planted_things_are_seen() -> None:
    a, b = (next(iter(render(1.0, seed=5))) for _ in range(2))
    assert np.array_equal(a, b)
    van = PLANTED[0]
    plain = list(render(van.end_s, seed=5))
    planted = list(render(van.end_s, seed=5, extra=anomalous_actors()))
    middle = round((van.start_s + van.end_s) / 2 * FPS)
    assert np.array_equal(plain[round(van.start_s * FPS) - 5], planted[round(van.start_s * FPS) - 5])
    assert (np.abs(plain[middle].astype(int) - planted[middle]).max(axis=2) > 40).sum() > 3000
