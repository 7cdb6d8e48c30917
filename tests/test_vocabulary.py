"""Every word that users meet in messages and metrics is produced by the product: one that nothing produces is no word."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from benchmarks.watched_site import WatchedSite, quiet
from streamwatch.alerts.flood import digest_of
from streamwatch.alerts.router import NotificationRouter
from streamwatch.capture.liveness import LivenessChange
from streamwatch.capture.slots import FrameSlots
from streamwatch.config.schema import Alerts
from streamwatch.daemon.degraded import DegradedState
from streamwatch.enums import CameraState, Degradation, DisconnectKind, DropReason, EndReason, EventType, MessageState
from streamwatch.events.decision import EventPolicy
from streamwatch.records import EventChange, Frame
from streamwatch.scores import Spread
from streamwatch.store.event_store import EventStore
from streamwatch.store.outbox.messages import Message
from streamwatch.store.sessions import open_database
from streamwatch.video.streams.integrity import IntegrityGuard
from streamwatch.video.streams.live import disconnect_kind
from tests.detection.test_pipeline import BLACK, Bench, scene_policy
from tests.store.test_event_store import event
from tests.test_retry import FakeClock


def with_event(folder: Path) -> Bench:
    """A camera with an open event."""
    bench = Bench(folder)
    for _ in range(5):
        bench.show(level=20)
    return bench


def reasons(bench: Bench) -> list[EndReason | None]:
    bench.publisher.publish_waiting()
    return [change.event.reason for change in bench.changes if change.type == EventType.ANOMALY_ENDED]


def ends_normally(folder: Path) -> list[EndReason | None]:
    bench = with_event(folder)
    for _ in range(10):
        bench.show(level=1)
    return reasons(bench)


def lasts_too_long(folder: Path) -> list[EndReason | None]:
    bench = with_event(folder)
    bench.pipeline.retune("cam", scene_policy(EventPolicy(10, 5, 0.5, 0.5, 0.5, max_duration_s=2.0)), {})
    for _ in range(10):
        bench.show(level=20)
    return reasons(bench)


def is_lost(folder: Path) -> list[EndReason | None]:
    bench = with_event(folder)
    bench.pipeline.change_liveness(LivenessChange("cam", False, 31.0))
    return reasons(bench)


def is_tampered_with(folder: Path) -> list[EndReason | None]:
    bench = with_event(folder)
    for _ in range(20):
        bench.show(BLACK)
    return reasons(bench)


def is_removed(reason: EndReason) -> Callable[[Path], list[EndReason | None]]:
    def remove(folder: Path) -> list[EndReason | None]:
        bench = with_event(folder)
        bench.pipeline.remove("cam", reason)
        return reasons(bench)

    return remove


def is_shut_down(folder: Path) -> list[EndReason | None]:
    bench = with_event(folder)
    bench.pipeline.end_all(EndReason.SHUTDOWN)
    return reasons(bench)


def crashes(folder: Path) -> list[EndReason | None]:
    store = EventStore(open_database(None, folder))
    store.record(EventChange(EventType.ANOMALY_STARTED, event(), 0.0))
    closed = [ended.reason for ended in store.close_left_open()]
    store.close()
    return closed


ENDS: dict[EndReason, Callable[[Path], list[EndReason | None]]] = {
    EndReason.NORMAL: ends_normally,
    EndReason.MAX_DURATION: lasts_too_long,
    EndReason.CAMERA_LOST: is_lost,
    EndReason.CAMERA_REMOVED: is_removed(EndReason.CAMERA_REMOVED),
    EndReason.SHUTDOWN: is_shut_down,
    EndReason.CRASH: crashes,
    EndReason.TAMPER: is_tampered_with,
    EndReason.MODEL_REPLACED: is_removed(EndReason.MODEL_REPLACED),
}


@pytest.mark.parametrize("reason", EndReason)
def test_every_reason_for_an_end_has_a_cause(reason: EndReason, tmp_path: Path) -> None:
    assert reason in ENDS[reason](tmp_path)


def types_of(bench: Bench) -> list[EventType]:
    bench.publisher.publish_waiting()
    return [*(change.type for change in bench.changes), *(notice.type for notice in bench.notices)]


def becomes_an_alert(folder: Path) -> list[EventType]:
    bench = Bench(folder)
    bench.add("cam", alert_threshold=50.0)
    for level in (20, 20, 20, 20, 60, 60):
        bench.show(level=level)
    return types_of(bench)


def goes_and_comes_back(folder: Path) -> list[EventType]:
    bench = with_event(folder)
    for online in (False, True):
        bench.pipeline.change_liveness(LivenessChange("cam", online, 31.0))
    return types_of(bench)


def sends_nothing_of_use(folder: Path) -> list[EventType]:
    bench = Bench(folder)
    bench.pipeline.change_liveness(LivenessChange("cam", False, 31.0, DropReason.CORRUPT, 310))
    assert bench.status.state_of("cam") is CameraState.UNUSABLE
    return types_of(bench)


def drifts(folder: Path) -> list[EventType]:
    bench = Bench(folder)
    bench.engine.spread = Spread(14.0, 0.3)
    for _ in range(60):
        bench.clock.now_s += 60
        bench.show()
    return types_of(bench)


def degrades(_folder: Path) -> list[EventType]:
    told: list[Degradation] = []
    DegradedState(lambda what, _active: told.append(what)).record(Degradation.DISK_FULL, True)
    return [EventType.SYSTEM_DEGRADED for _ in told]


def beats(_folder: Path) -> list[EventType]:
    return [EventType(NotificationRouter(Alerts(), FakeClock()).heartbeat("ops", 0.0).type)]


def floods(_folder: Path) -> list[EventType]:
    content = {"type": "anomaly.started", "time": "2026-01-01T00:00:00.000Z"}
    waiting = Message(1, "m", "ops", "e", "anomaly.started", "cam", content, 0.0, 0.0, 0, MessageState.PENDING)
    return [EventType(digest_of([waiting, waiting], 1.0).type)]


def ends_its_calibration(folder: Path) -> list[EventType]:
    database = open_database(None, folder)
    site = WatchedSite(folder, database, camera={"alarm_budget": "4/hour"})
    site.watch(quiet(3600, np.random.default_rng(0)))
    database.dispose()
    return [notice.type for notice in site.notices]


TYPES: dict[EventType, Callable[[Path], list[EventType]]] = {
    EventType.ANOMALY_STARTED: lambda folder: types_of(with_event(folder)),
    EventType.ANOMALY_UPDATED: becomes_an_alert,
    EventType.ANOMALY_ENDED: goes_and_comes_back,
    EventType.CAMERA_OFFLINE: goes_and_comes_back,
    EventType.CAMERA_ONLINE: goes_and_comes_back,
    EventType.CAMERA_UNUSABLE: sends_nothing_of_use,
    EventType.CAMERA_TAMPER: lambda folder: types_of(tampered(folder)),
    EventType.MODEL_DRIFT: drifts,
    EventType.MODEL_READY: ends_its_calibration,
    EventType.SYSTEM_DEGRADED: degrades,
    EventType.SYSTEM_DIGEST: floods,
    EventType.SYSTEM_HEARTBEAT: beats,
}


def tampered(folder: Path) -> Bench:
    bench = Bench(folder)
    for _ in range(20):
        bench.show(BLACK)
    return bench


@pytest.mark.parametrize("kind", [kind for kind in EventType if kind is not EventType.SYSTEM_TEST])
def test_every_type_of_message_has_a_cause(kind: EventType, tmp_path: Path) -> None:
    """``system.test`` is what `streamwatch alerts test` sends (tests/cli/test_alert_commands.py)."""
    assert kind in TYPES[kind](tmp_path)


def is_displaced(_folder: Path) -> list[DropReason | None]:
    dropped: list[DropReason | None] = []
    slots = FrameSlots(depth=1, lossless=False, on_drop=lambda _camera, reason: dropped.append(reason))
    pixels = np.zeros((256, 256, 3), np.uint8)
    for number in range(2):
        slots.put(Frame("cam", number, 0.0, 0.0, 0.0, pixels), threading.Event())
    return dropped


def is_stale(folder: Path) -> list[DropReason | None]:
    bench = Bench(folder)
    bench.show(age_s=3.0)
    assert sum(bench.status.drops("cam").values()) == 1
    sample = bench.metrics.registry.get_sample_value
    stale = sample("streamwatch_camera_frames_dropped_total", {"camera": "cam", "reason": "stale"})
    return [DropReason.STALE] * round(stale or 0)


def is_damaged(_folder: Path) -> list[DropReason | None]:
    guard = IntegrityGuard()
    course = [(0.1 * n, n == 0, n == 5) for n in range(10)]
    return [guard.judge(at_s, key=key, corrupt=corrupt, damaged=False) for at_s, key, corrupt in course]


def cannot_be_scored(folder: Path) -> list[DropReason | None]:
    bench = Bench(folder)
    bench.engine.broken.add("cam")
    for _ in range(2):
        bench.show()
    dropped = {"camera": "cam", "reason": "fault"}
    count = bench.metrics.registry.get_sample_value("streamwatch_camera_frames_dropped_total", dropped)
    return [DropReason.FAULT] * round(count or 0)


DROPS: dict[DropReason, Callable[[Path], list[DropReason | None]]] = {
    DropReason.DISPLACED: is_displaced,
    DropReason.STALE: is_stale,
    DropReason.AWAIT_KEYFRAME: is_damaged,
    DropReason.CORRUPT: is_damaged,
    DropReason.FAULT: cannot_be_scored,
}


@pytest.mark.parametrize("reason", DropReason)
def test_every_reason_for_a_drop_has_a_cause(reason: DropReason, tmp_path: Path) -> None:
    assert reason in DROPS[reason](tmp_path)


LOST: dict[DisconnectKind, tuple[av.error.FFmpegError, bool]] = {
    DisconnectKind.EOF: (av.error.EOFError(-541478725, "End of file"), False),
    DisconnectKind.TIMEOUT: (av.error.ExitError(-1414092869, "Immediate exit requested"), True),
    DisconnectKind.STALL: (av.error.ExitError(-1414092869, "Immediate exit requested"), False),
    DisconnectKind.REFUSED: (av.error.ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), True),
    DisconnectKind.AUTH: (av.error.HTTPUnauthorizedError(-825242872, "Server returned 401"), True),
    DisconnectKind.INVALID_DATA: (av.error.InvalidDataError(-1094995529, "Invalid data"), False),
}


@pytest.mark.parametrize("kind", DisconnectKind)
def test_every_way_of_losing_a_camera_has_a_cause(kind: DisconnectKind) -> None:
    error, opening = LOST[kind]
    assert disconnect_kind(error, opening=opening) is kind
