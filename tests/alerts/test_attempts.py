"""The pool of attempts: side by side, in order, and never waited for at the end."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest

from streamwatch.alerts.attempts import AttemptPool
from tests.conftest import REPOSITORY

HANGING = """
import threading, time
from streamwatch.alerts.attempts import AttemptPool
pool = AttemptPool(2, "deliver-test")
began = threading.Event()
pool.submit(lambda _: (began.set(), time.sleep(60)), None)
began.wait(10)
pool.close()
"""


def test_results_come_in_order_and_work_is_done_side_by_side() -> None:
    pool, meeting = AttemptPool(3, "deliver-test"), threading.Barrier(3, timeout=20)

    def meet(number: int) -> int:
        meeting.wait()
        return 10 * number

    assert pool.map(meet, [1, 2, 3]) == [10, 20, 30]
    names = set(pool.map(lambda _: threading.current_thread().name, range(20)))
    assert names <= {f"deliver-test_{n}" for n in range(3)}
    pool.close()


def test_what_fails_is_raised_where_it_is_asked_for_and_the_threads_go_on() -> None:
    pool = AttemptPool(1, "deliver-test")
    with pytest.raises(ZeroDivisionError):
        pool.map(lambda number: 1 // number, [1, 0])
    assert pool.map(str, [5]) == ["5"]
    pool.close()
    with pytest.raises(RuntimeError):
        pool.submit(str, 5)


def test_an_attempt_that_hangs_does_not_keep_the_process_from_ending() -> None:
    began_s = time.monotonic()
    subprocess.run([sys.executable, "-c", HANGING], check=True, timeout=50, cwd=REPOSITORY)
    assert time.monotonic() - began_s < 45
