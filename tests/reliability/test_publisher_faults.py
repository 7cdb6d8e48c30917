"""The publisher raises an exception that nobody expects, at each of its calls in turn.

By itself, because it takes long: a change that faults keep from being stored is given up at the third, so that there is one
at a time.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.reliability.thread_faults import Injector, injector, require_going_on

pytestmark = [pytest.mark.paced, pytest.mark.slow(25)]
__all__ = ["injector"]


@pytest.mark.timeout(600)
def test_whatever_the_publisher_raises_it_comes_back_and_the_others_go_on(tmp_path: Path, injector: Injector) -> None:
    require_going_on(tmp_path, injector, ["publisher"])
