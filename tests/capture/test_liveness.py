"""Offline after a silence, online with the first frame, and what readiness makes of it."""

from __future__ import annotations

from streamwatch.capture.liveness import Liveness, LivenessChange
from streamwatch.capture.readiness import readiness
from streamwatch.enums import DropReason
from tests.test_retry import FakeClock


def test_a_silent_camera_goes_offline_once_and_comes_back_once() -> None:
    clock = FakeClock()
    liveness = Liveness(clock)
    liveness.watch("a", 30)
    liveness.watch("b", 30)
    clock.now_s = 20
    liveness.record("b")
    assert liveness.changes() == []
    clock.now_s = 31
    assert liveness.changes() == [LivenessChange("a", False, 31)]
    assert liveness.changes() == []
    clock.now_s = 40
    liveness.record("a")
    liveness.record("a")
    assert liveness.changes() == [LivenessChange("a", True, 40)]
    assert liveness.changes() == []


def test_a_camera_that_is_not_watched_says_nothing() -> None:
    clock = FakeClock()
    liveness = Liveness(clock)
    liveness.record("file")
    liveness.watch("gone", 1)
    liveness.forget("gone")
    clock.now_s = 100
    assert liveness.changes() == []


def test_readiness_lists_who_did_not_score() -> None:
    ago = {"a": 1.0, "b": 100.0, "c": None, "file": None}
    state = readiness(ago, {"file"}, share=1.0, within_s=60)
    assert (state.ready, state.lacking) == (False, ("b", "c"))
    assert readiness(ago, {"file"}, share=0.5, within_s=60).ready


def test_a_camera_of_which_nothing_can_be_used_says_so_and_why() -> None:
    clock = FakeClock()
    liveness = Liveness(clock)
    liveness.watch("a", 30)
    for second in range(1, 33):
        clock.now_s = second
        liveness.record("a", DropReason.AWAIT_KEYFRAME if second % 4 else DropReason.CORRUPT)
    cause = DropReason.CORRUPT  # that a key frame is waited for follows from it
    assert liveness.changes() == [LivenessChange("a", False, 32, cause, 32)]
    assert liveness.changes() == []
    clock.now_s = 70  # now nothing comes at all
    assert liveness.changes() == [LivenessChange("a", False, 70)]
    clock.now_s = 80
    liveness.record("a", DropReason.CORRUPT)
    assert liveness.changes() == []
    for second in range(81, 112):
        clock.now_s = second
        liveness.record("a", DropReason.CORRUPT)
    assert [change.unusable for change in liveness.changes()] == [DropReason.CORRUPT]
    liveness.record("a")
    assert [(change.online, change.unusable) for change in liveness.changes()] == [(True, None)]


def test_pictures_that_are_not_due_keep_a_slow_camera_online() -> None:
    clock = FakeClock()
    liveness = Liveness(clock)
    liveness.watch("a", 30)
    for second in range(200):
        clock.now_s = second
        liveness.record("a")
        assert liveness.changes() == []
