"""The recorder of clips: which seconds it takes, when it is done, and that nothing it meets touches anybody else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from streamwatch.config.schema import Clips
from streamwatch.enums import EndReason
from streamwatch.evidence.clips import LATE_S, ClipRecorder
from streamwatch.records import Event, UInt8Array
from streamwatch.video.clips.feed import KEY_FRAME_EVERY_S, ClipFeed
from streamwatch.video.clips.ring import ClipRing
from streamwatch.video.streams.decoded import Decoded
from tests.store.test_event_store import event
from tests.test_retry import FakeClock

FPS = 5
RULES = Clips(pre_roll="2s", post_roll="3s", max_length="20s")


class Camera:
    """A camera whose pictures are encoded into its ring, and a recorder that is called by hand."""

    def __init__(self, folder: Path, rules: Clips = RULES, *, max_bytes: int = 10**8) -> None:
        self.clock, self.folder = FakeClock(), folder
        self.rings = {"cam": ClipRing(hold_s=5.0, max_bytes=max_bytes)}
        self.feed = ClipFeed(self.rings["cam"])
        self.feed.begin(None)
        self.written: list[bool] = []
        self.done: dict[str, Mapping[str, Any]] = {}
        self.recorder = ClipRecorder(folder, rules, self.rings, clock=self.clock, on_written=self.written.append)
        self.frames = 0

    def play(self, until_s: float, *, run: bool = True) -> None:
        """Show pictures up to a time, the recorder looking once a second."""
        while self.frames / FPS <= until_s:
            picture: UInt8Array = np.full((48, 64, 3), self.frames % 256, np.uint8)
            decoded = Decoded(av.VideoFrame.from_ndarray(picture, format="rgb24"), self.frames / FPS)
            self.feed.picture(decoded, self.frames / FPS, due=True)
            self.frames += 1
            self.clock.now_s = self.frames / FPS
            if run and self.frames % FPS == 0:
                self.recorder.run_once()

    def begin(self, start_s: float, event_id: str = "a" * 36) -> Event:
        opened = replace(event(), id=event_id, start_time_s=start_s)
        self.recorder.begin(opened)
        return opened

    def finish(self, opened: Event, end_s: float) -> None:
        ended = replace(opened, end_time_s=end_s, end_wall_s=1e9 + end_s, reason=EndReason.NORMAL)
        self.recorder.finish(ended, self.note)

    def note(self, ended: Event, clip: Mapping[str, Any]) -> None:
        self.done[ended.id] = clip

    def times_of(self, event_id: str = "a" * 36) -> list[float]:
        with av.open(str(self.folder / f"{event_id}.mp4")) as container:
            return [frame.time or 0.0 for frame in container.decode(video=0)]


def test_a_clip_covers_the_event_with_pre_and_post_roll(tmp_path: Path) -> None:
    camera = Camera(tmp_path)
    camera.play(10.0)
    opened = camera.begin(9.4)
    for now_s in range(11, 15):
        camera.recorder.extend("cam", "", float(now_s))
        camera.play(float(now_s))
    camera.play(21.0)  # closing: nothing is seen any more
    assert camera.done == {}
    camera.finish(opened, 14.0)
    camera.recorder.run_once()
    (clip,) = camera.done.values()
    assert clip["from_s"] <= 9.4 - 2.0
    assert clip["from_s"] >= 9.4 - 2.0 - KEY_FRAME_EVERY_S - 1 / FPS
    assert 14.0 + 3.0 <= clip["to_s"] <= 14.0 + 3.0 + 2 / FPS
    assert (clip["complete"], clip["copied"], clip["gaps"]) == (True, False, 0)
    times = camera.times_of()
    assert len(times) == round((17.0 - clip["from_s"]) * FPS) + 1
    assert camera.written == [True]


def test_a_quiet_while_within_an_event_is_in_its_clip(tmp_path: Path) -> None:
    camera = Camera(tmp_path)
    camera.play(5.0)
    opened = camera.begin(4.0)
    camera.play(15.0)
    camera.recorder.extend("cam", "", 15.0)
    camera.play(19.0)
    camera.finish(opened, 15.0)
    camera.recorder.run_once()
    assert np.diff(camera.times_of()) == pytest.approx(np.full(len(camera.times_of()) - 1, 0.2), abs=0.01)
    assert camera.done["a" * 36]["gaps"] == 0


def test_what_comes_after_the_end_is_waited_for_but_not_for_ever(tmp_path: Path) -> None:
    camera = Camera(tmp_path)
    camera.play(10.0)
    opened = camera.begin(9.0)
    camera.finish(opened, 10.0)
    camera.recorder.run_once()
    assert camera.done == {}
    camera.play(14.0)
    assert 13.0 <= camera.done["a" * 36]["to_s"] <= 13.4
    later = camera.begin(13.0, "b" * 36)
    camera.finish(later, 13.0)
    camera.clock.now_s += 3.0 + LATE_S  # the camera says nothing more
    camera.recorder.run_once()
    assert 14.0 <= camera.done["b" * 36]["to_s"] <= 14.4


def test_a_clip_ends_where_the_stream_breaks_off(tmp_path: Path) -> None:
    camera = Camera(tmp_path)
    camera.play(10.0)
    opened = camera.begin(9.0)
    camera.feed.end()
    camera.recorder.extend("cam", "", 12.0)
    camera.recorder.run_once()
    assert len(camera.times_of()) > 10
    camera.finish(opened, 10.0)
    camera.recorder.run_once()
    assert camera.done["a" * 36]["to_s"] <= 10.3


def test_a_long_event_has_a_clip_of_the_greatest_length_and_frees_the_ring(tmp_path: Path) -> None:
    camera = Camera(tmp_path)
    camera.play(10.0)
    opened = camera.begin(10.0)
    for now_s in range(11, 60):
        camera.recorder.extend("cam", "", float(now_s))
        camera.play(float(now_s))
    assert camera.rings["cam"]._cursors == []
    camera.finish(opened, 59.0)
    camera.recorder.run_once()
    clip = camera.done["a" * 36]
    assert 27.8 <= clip["to_s"] <= 28.4  # from 2 s before the event, 20 s
    assert len(camera.times_of()) <= (20 + 1 + KEY_FRAME_EVERY_S) * FPS


def test_no_ring_no_clip(tmp_path: Path) -> None:
    camera = Camera(tmp_path)
    camera.rings.clear()
    camera.finish(camera.begin(0.0), 1.0)
    camera.recorder.extend("cam", "", 1.0)
    camera.recorder.run_once()
    assert not list(tmp_path.iterdir())


def test_a_disk_that_refuses_stops_the_clip_alone(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    camera = Camera(tmp_path / "file")
    camera.play(10.0)
    opened = camera.begin(9.0)
    camera.play(12.0)
    camera.finish(opened, 12.0)
    camera.recorder.run_once()
    assert camera.written == [False]
    assert camera.done == {}
    assert camera.rings["cam"]._cursors == []


def test_stopping_finishes_what_is_open(tmp_path: Path) -> None:
    camera = Camera(tmp_path)
    camera.play(10.0)
    opened = camera.begin(9.0)
    camera.finish(opened, 10.0)
    camera.recorder.run_once(last=True)
    assert camera.done["a" * 36]["complete"]
    assert len(camera.times_of()) >= 5


def test_two_zones_have_a_clip_each(tmp_path: Path) -> None:
    camera = Camera(tmp_path)
    camera.play(10.0)
    whole, gate = camera.begin(9.0), replace(event(), id="b" * 36, start_time_s=9.5, zone="gate")
    camera.recorder.begin(gate)
    camera.play(14.0)
    camera.finish(whole, 10.0)
    camera.finish(gate, 10.0)
    camera.recorder.run_once()
    assert set(camera.done) == {"a" * 36, "b" * 36}
    assert len(list(tmp_path.glob("*.mp4"))) == 2
