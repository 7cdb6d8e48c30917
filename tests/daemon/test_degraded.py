"""What is degraded is told when it begins and when it is over, once each."""

from __future__ import annotations

from streamwatch.daemon.degraded import DegradedState
from streamwatch.enums import Degradation


def test_each_is_told_once_when_it_begins_and_once_when_it_is_over() -> None:
    told: list[tuple[str, bool]] = []
    kept = DegradedState(lambda what, active: told.append((what, active)))
    for active in (False, True, True):
        kept.record(Degradation.NO_EVIDENCE, active)
    kept.record(Degradation.DISK_FULL, True)
    for active in (False, False):
        kept.record(Degradation.NO_EVIDENCE, active)
    assert told == [(Degradation.NO_EVIDENCE, True), (Degradation.DISK_FULL, True), (Degradation.NO_EVIDENCE, False)]
