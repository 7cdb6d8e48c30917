"""A sample of ``tests.reliability.crash``: the daemon is killed in mid-event, and its receiver hears of everything."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.reliability.crash import crash

pytestmark = pytest.mark.slow(65)


def test_a_daemon_killed_in_mid_event_leaves_every_event_with_an_end(tmp_path: Path) -> None:
    """Twice here, 20 times in ``make soak``."""
    reasons = crash(tmp_path, 2, random.Random(1))
    assert reasons["crash"] >= 2
    assert set(reasons) <= {"crash", "shutdown", "normal", "camera_lost"}
