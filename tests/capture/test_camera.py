"""What a camera's thread makes of what comes, with a reader that is told what to send."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from streamwatch.capture.camera import MAX_PACED_WAIT_S, CameraContext, CameraWorker, PlaybackMode
from streamwatch.capture.slots import FrameSlots
from streamwatch.capture.status import FleetStatus
from streamwatch.enums import DropReason
from streamwatch.health import Health
from streamwatch.metrics import Metrics
from streamwatch.threads import ThreadGuard
from streamwatch.video.reader import FrameReader, ReaderListeners
from streamwatch.video.sources import parse_source
from streamwatch.video.streams.decoded import Decoded
from tests.test_retry import FakeClock
from tests.video.streams.fakes import FakeStream


class Sending(FakeStream):
    """A stream of given pictures: their times, and why they cannot be used if so."""

    def __init__(self, pictures: Iterator[tuple[float, DropReason | None]]) -> None:
        self._pictures = pictures

    def pictures(self) -> Iterator[Decoded]:
        for time_s, reason in self._pictures:
            yield Decoded(av.VideoFrame(64, 48, "yuv420p"), time_s, reason)


def a_worker(
    tmp_path: Path,
    pictures: Iterator[tuple[float, DropReason | None]],
    came: list[DropReason | None],
    *,
    paced: bool,
    status: FleetStatus | None = None,
) -> tuple[CameraWorker, FakeClock]:
    clock, metrics = FakeClock(), Metrics()
    status = status or FleetStatus(metrics)
    (tmp_path / "a.mp4").touch()
    context = CameraContext(
        slots=FrameSlots(depth=1, lossless=False, on_drop=status.drop),
        clock=clock,
        metrics=metrics,
        status=status,
        health=Health(clock),
        on_frame=lambda _camera: None,
        on_picture=lambda _camera, reason: came.append(reason),
        on_end=lambda *_: None,
        guard=ThreadGuard(clock),
    )

    def make_reader(listeners: ReaderListeners) -> FrameReader:
        source = parse_source(str(tmp_path / "a.mp4"))
        return FrameReader("cam", source, opener=Sending(pictures), clock=clock, listeners=listeners)

    return CameraWorker("cam", make_reader, context, PlaybackMode(live=False, paced=paced)), clock


def test_a_reader_of_which_nothing_can_be_used_hears_that_it_is_to_stop(tmp_path: Path) -> None:
    came: list[DropReason | None] = []
    endless = ((n / 10, DropReason.CORRUPT) for n in itertools.count())

    def stopping() -> Iterator[tuple[float, DropReason | None]]:
        for n, picture in enumerate(endless):
            if n == 50:
                worker.stop()
            yield picture

    worker, _ = a_worker(tmp_path, stopping(), came, paced=False)
    worker.run_once()
    assert came == [DropReason.CORRUPT] * 50


def test_a_gap_in_a_paced_recording_is_told_and_skipped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    times_s = [*(n / 10 for n in range(20)), *(7202 + n / 10 for n in range(20))]
    worker, clock = a_worker(tmp_path, iter([(t, None) for t in times_s]), [], paced=True)
    with caplog.at_level(logging.WARNING):
        worker.run_once()
    assert clock.now_s == pytest.approx(1.9 + MAX_PACED_WAIT_S + 1.9, abs=0.01)
    assert "nothing was recorded for 7200 s" in caplog.text


def test_what_comes_after_a_gap_that_was_skipped_is_seen_now_and_not_in_two_hours(tmp_path: Path) -> None:
    times_s = [*(n / 10 for n in range(20)), *(7202 + n / 10 for n in range(20)), *(9203 + n / 10 for n in range(20))]
    ahead_s = list[float]()

    class Noting(FleetStatus):
        def receive(self, camera: str, wall_s: float | None = None) -> None:
            super().receive(camera, wall_s)
            ahead_s.append((wall_s or 0.0) - clock.wall_s())

    pictures = ((t, None) for t in times_s)
    worker, clock = a_worker(tmp_path, pictures, [], paced=True, status=Noting(Metrics()))
    worker.run_once()
    assert len(ahead_s) == 60
    assert ahead_s == pytest.approx([0.0] * 60, abs=0.01)
