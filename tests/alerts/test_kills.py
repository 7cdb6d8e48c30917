"""A sample of ``benchmarks.sender_kills``; the whole is in `make soak`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.sender_kills import run

pytestmark = pytest.mark.slow(40)


def test_a_sender_that_is_killed_loses_nothing_and_keeps_the_order(tmp_path: Path) -> None:
    found = run(5, tmp_path)
    assert (found.lost, found.out_of_order, found.other_ids) == (0, 0, 0), found
    assert found.kills >= 3


def test_a_sender_needs_no_torch() -> None:
    code = "import sys, streamwatch.cli.alerts; sys.exit('torch' in sys.modules or 'av' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
