"""What is degraded is told when it begins and when it is over, once each."""

from __future__ import annotations

from streamwatch.runtime.degraded import DISK_FULL, NO_EVIDENCE, Degradations


def test_each_is_told_once_when_it_begins_and_once_when_it_is_over() -> None:
    told: list[tuple[str, bool]] = []
    kept = Degradations(lambda what, active: told.append((what, active)))
    for active in (False, True, True):
        kept.note(NO_EVIDENCE, active)
    kept.note(DISK_FULL, True)
    for active in (False, False):
        kept.note(NO_EVIDENCE, active)
    assert told == [(NO_EVIDENCE, True), (DISK_FULL, True), (NO_EVIDENCE, False)]
