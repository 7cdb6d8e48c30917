"""Every thread of a running daemon raises an exception that nobody expects, at each of its calls in turn.

What runs once a minute is tested with a clock of its own.
"""

from __future__ import annotations

import gc
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import pytest

from benchmarks.site import FEW_DIMS, running_site
from streamwatch.config.schema import Retention
from streamwatch.evidence.retention import RetentionTask
from streamwatch.metrics import Metrics
from streamwatch.recalibration.task import RecalibrationTask
from streamwatch.threads import ThreadGuard
from tests.reliability.thread_faults import AGAIN_WITHIN_S, Arbitrary, Injector, injector, require_going_on, wait_for
from tests.test_retry import FakeClock

pytestmark = [pytest.mark.paced, pytest.mark.slow(95)]
THREADS = ("pipeline", "evidence", "clips", "camera-cam0")
"""Those that deliver have a module of their own."""
__all__ = ["injector"]


@pytest.fixture(autouse=True)
def left_behind() -> None:
    """What faults kept from being closed, and the test's log kept alive, is no fault of the one that collects next."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


class Failing:
    """What a task works on; it fails a few times and then ends the task."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop, self.failures = stop, iter([Arbitrary("of ours")] * 5)

    def run_once(self) -> None:
        for failure in self.failures:
            raise failure
        self._stop.set()


class FailingRetention(RetentionTask):
    """Fails as its work does."""

    def __init__(self, work: Failing, clock: FakeClock) -> None:
        unused: Any = None
        super().__init__(unused, unused, Path("/nowhere"), Retention, clock=clock, metrics=Metrics())
        self._work = work

    def run_once(self) -> int:
        self._work.run_once()
        return 0


@pytest.mark.timeout(600)
def test_whatever_a_thread_raises_it_comes_back_and_the_others_go_on(tmp_path: Path, injector: Injector) -> None:
    require_going_on(tmp_path, injector, THREADS)


def test_retention_is_begun_again() -> None:
    clock, stop, faults = FakeClock(), threading.Event(), list[str]()
    task = FailingRetention(Failing(stop), clock)
    ThreadGuard(clock, on_fault=faults.append).run("retention", lambda: task.run(stop), stop)
    assert faults == ["retention"] * 5


def test_calibration_is_begun_again() -> None:
    clock, faults = FakeClock(), list[str]()
    done = threading.Event()
    task = RecalibrationTask(Failing(done), clock)
    task.start(ThreadGuard(clock, on_fault=faults.append))
    assert done.wait(AGAIN_WITHIN_S)
    task.stop(AGAIN_WITHIN_S)
    assert faults == ["calibration"] * 5


def test_a_fault_in_the_main_thread_ends_one_look_alone(tmp_path: Path) -> None:
    with running_site(tmp_path, 1, fps=2.0, dims=FEW_DIMS) as site:
        parts, left = site.service.parts, iter([Arbitrary("of ours")] * 2)
        looks: list[float] = []

        def check_progress() -> None:
            looks.append(time.monotonic())
            for failure in left:
                raise failure

        parts.publisher.check_progress = check_progress  # type: ignore[method-assign]
        assert wait_for(lambda: len(looks) > 4)
        assert parts.metrics.registry.get_sample_value("streamwatch_thread_faults_total", {"thread": "main"}) == 2
