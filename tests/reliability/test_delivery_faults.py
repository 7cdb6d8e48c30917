"""The threads that deliver and keep house raise an exception that nobody expects, at each of their calls in turn."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.reliability.thread_faults import Injector, injector, require_going_on

pytestmark = [pytest.mark.paced, pytest.mark.slow(90)]
__all__ = ["injector"]
THREADS = ("sender-ops", "deliver-ops", "housekeeping")


@pytest.mark.timeout(600)
def test_whatever_they_raise_they_come_back_and_the_others_go_on(tmp_path: Path, injector: Injector) -> None:
    require_going_on(tmp_path, injector, THREADS)
