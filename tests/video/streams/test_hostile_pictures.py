"""Streams and files whose pictures nobody can use: each costs its own pictures, and no thread waits for them for ever."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import cv2
import numpy as np
import pytest
from av.stream import Disposition

from streamwatch.clock import SystemClock
from streamwatch.enums import DisconnectKind, DropReason
from streamwatch.errors import SourceDisconnected, SourceError
from streamwatch.video.pace import Pace
from streamwatch.video.reader import FrameReader, ReaderListeners
from streamwatch.video.sources import Segment, parse_source
from streamwatch.video.streams.decoded import MAX_STILL_PIXELS, Decoded
from streamwatch.video.streams.live import PICTURE_WITHIN_S, LiveStream
from streamwatch.video.streams.opener import PyAvOpener
from tests.test_retry import FakeClock
from tests.video.streams.fakes import FakeStream


class Unscalable(FakeStream):
    """A stream in which every third picture is one that the scaler refuses."""

    def pictures(self) -> Iterator[Decoded]:
        for number in range(9):
            width, height = (16_000, 1) if number % 3 == 1 else (64, 48)
            yield Decoded(av.VideoFrame(width, height, "yuv420p"), number / 10)


@pytest.mark.parametrize("motion_step_s", [None, 0.2])
def test_a_picture_that_cannot_be_scaled_is_dropped_as_damage_and_the_others_are_read(
    tmp_path: Path, motion_step_s: float | None
) -> None:
    (tmp_path / "a.mp4").touch()
    dropped: list[DropReason] = []
    source = parse_source(str(tmp_path / "a.mp4"))
    reader = FrameReader(
        "cam",
        source,
        opener=Unscalable(),
        clock=SystemClock(),
        motion_step_s=motion_step_s,
        listeners=ReaderListeners(dropped.append),
    )
    assert len(list(reader.frames())) == 6
    assert dropped == [DropReason.CORRUPT] * 3


def test_a_live_stream_of_which_nothing_can_be_decoded_is_lost_after_a_while() -> None:
    clock, read = FakeClock(), list[float]()

    def packets(_stream: object) -> Iterator[Any]:
        while True:
            clock.now_s += 1.0
            read.append(clock.now_s)
            yield SimpleNamespace(is_corrupt=False, size=0, pts=None, dts=None, decode=list)

    coded = SimpleNamespace(
        codec_context=SimpleNamespace(width=64, height=48, options={}, name="h264", extradata=None),
        average_rate=None,
        guessed_rate=None,
        thread_count=0,
        disposition=Disposition.default,
    )
    shape = SimpleNamespace(flags=0)
    container: Any = SimpleNamespace(streams=SimpleNamespace(video=[coded]), demux=packets, format=shape)
    segment = Segment("live", "http://127.0.0.1/endless")
    with pytest.raises(SourceDisconnected, match="nothing of it could be decoded") as lost:
        list(LiveStream(container, segment, clock).pictures())
    assert lost.value.kind == DisconnectKind.INVALID_DATA
    assert PICTURE_WITHIN_S < read[-1] < PICTURE_WITHIN_S + 3


def test_pictures_that_are_too_large_are_refused_before_they_are_decoded(tmp_path: Path) -> None:
    side = int(MAX_STILL_PIXELS**0.5) + 8
    cv2.imwrite(str(tmp_path / "huge.jpg"), np.zeros((side, side), np.uint8))
    cv2.imwrite(str(tmp_path / "usual.jpg"), np.zeros((48, 64), np.uint8))
    segment = Segment("video", str(tmp_path / "huge.jpg"))
    with (
        pytest.raises(SourceError, match=rf"huge.jpg: pictures of {side}x{side} are larger than 63 megapixels"),
        PyAvOpener().open(segment),
    ):
        pass
    reader = FrameReader("cam", parse_source(str(tmp_path)), opener=PyAvOpener(), clock=SystemClock())
    assert len(list(reader.frames())) == 1
    assert reader.summary().decode_errors == 1


class Hasty(Unscalable):
    """A live stream at 25 pictures a second whose times say that each is a second later."""

    def __init__(self, clock: FakeClock, *, honest: bool) -> None:
        self._clock, self._honest = clock, honest

    def pictures(self) -> Iterator[Decoded]:
        for number in range(1500):
            self._clock.now_s += 0.04
            yield Decoded(av.VideoFrame(64, 48, "yuv420p"), 0.04 * number if self._honest else 1.0 * number)


@pytest.mark.parametrize(("honest", "most"), [(True, 301), (False, 435)])
def test_a_camera_that_lies_about_time_is_scored_no_faster_than_asked(honest: bool, most: int) -> None:
    clock = FakeClock()
    source = parse_source("rtsp://127.0.0.1/lies")
    reader = FrameReader("cam", source, opener=Hasty(clock, honest=honest), clock=clock, pace=Pace(5.0))
    frames = len(list(reader.frames()))
    assert 299 <= frames <= most, "60 s at 5 a second"
