"""Reading: every coded frame, true times, and broken files said and survived."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter
from hypothesis import given
from hypothesis import strategies as st

from streamwatch.clock import SystemClock
from streamwatch.enums import DropReason
from streamwatch.errors import SourceEmpty, SourceError, SourceNotFound
from streamwatch.records import Frame
from streamwatch.video.pace import ArrivalLimit, Pace, Pacer
from streamwatch.video.reader import FrameReader, ReaderListeners
from streamwatch.video.sources import parse_source
from streamwatch.video.streams.opener import PyAvOpener
from tests.conftest import encode, moving_square, read, read_moving, reader_of, shared_file
from tests.test_retry import FakeClock

GREY_LEVELS = 2
"""How far a lossless copy of a picture may be from the picture itself, on average, after two colour conversions."""


def test_every_coded_frame_with_its_time(video: Path) -> None:
    frames = read(video)
    assert [f.index for f in frames] == list(range(80))
    np.testing.assert_allclose([f.time_s for f in frames], np.arange(80) / 10, atol=1e-6)
    assert all(f.pixels.shape == (256, 256, 3) for f in frames)


@pytest.mark.parametrize(("name", "count"), [("courtyard.avi", 795), ("plaza.avi", 341)])
def test_avi_times_increase_evenly_though_avi_stores_none(name: str, count: int) -> None:
    frames = read(shared_file(name))
    steps = np.diff([f.time_s for f in frames])
    assert len(frames) == count
    assert frames[0].time_s == 0
    np.testing.assert_allclose(steps, np.median(steps), rtol=0.01)


def test_wall_time_runs_with_the_stream(video: Path) -> None:
    frames = read(video)
    np.testing.assert_allclose([f.wall_s - frames[0].wall_s for f in frames], [f.time_s for f in frames], atol=1e-5)


def test_an_image_folder_plays_at_its_rate(tmp_path: Path) -> None:
    for number, picture in enumerate(moving_square(5)):
        cv2.imwrite(str(tmp_path / f"{number:03d}.jpg"), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    frames = read(tmp_path)
    assert [f.time_s for f in frames] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])


def test_video_and_jpeg_of_the_same_picture_agree(tmp_path: Path) -> None:
    """STC trains on AVI and tests on JPEG: range and matrix must not differ between them."""
    picture = np.asarray(cv2.GaussianBlur(next(moving_square(1, (480, 856))), (0, 0), 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "a.jpg"), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 100])
    cv2.imwrite(str(tmp_path / "a.png"), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    with av.open(str(tmp_path / "a.avi"), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "1"})
        stream.height, stream.width, stream.pix_fmt = 480, 856, "yuv420p"
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    a, b, c = (read(tmp_path / name)[0].pixels.astype(int) for name in ("a.jpg", "a.png", "a.avi"))
    assert np.abs(a - b).mean() < GREY_LEVELS
    assert np.abs(a - c).mean() < GREY_LEVELS


def test_segments_follow_each_other_in_time(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        encode(tmp_path / name, moving_square(10))
    frames = read(f"{tmp_path}/*.mp4")
    np.testing.assert_allclose([f.time_s for f in frames], np.arange(20) / 10, atol=1e-6)
    assert [f.segment for f in frames] == [0] * 10 + [1] * 10
    assert [f.index for f in frames] == list(range(20))


def test_fps_paces_by_time(video: Path) -> None:
    assert [f.index for f in read(video, fps=5)] == list(range(0, 80, 2))
    assert len(read(video, fps=3)) == 24
    assert len(read(video, fps=100)) == 80


class _StandingClock(SystemClock):
    """A wall clock that stands still."""

    def __init__(self, at_s: float) -> None:
        self._at_s = at_s

    def wall_s(self) -> float:
        return self._at_s


def test_cameras_of_one_rate_take_turns() -> None:
    rate_hz, fps = 10, 0.5
    due = []
    for phase in (0.0, 0.25, 0.5, 0.75):
        pacer = Pacer(fps, phase)
        due += [n for n in range(400) if pacer.passes(n / rate_hz)][1:]  # the first one passes at once
    assert len(due) == pytest.approx(4 * 40 * fps, abs=4)
    assert len(set(due)) == len(due)


def test_a_turn_is_kept_on_the_wall_clock_whenever_a_stream_begins(video: Path) -> None:
    due_s = []
    for began_s in (1000.0, 1000.7):
        clock = _StandingClock(began_s)
        reader = FrameReader("cam", parse_source(str(video)), opener=PyAvOpener(), clock=clock, pace=Pace(1.0, 0.5))
        due_s.append([(began_s + frame.time_s) % 1.0 for frame in reader.frames()][1:])
    assert all(share == pytest.approx(0.5, abs=0.1) for shares in due_s for share in shares), due_s


@given(st.floats(1, 60), st.floats(0.5, 30))
def test_pacing_never_passes_more_than_asked(rate_hz: float, fps: float) -> None:
    pacer = Pacer(fps)
    passed = sum(pacer.passes(number / rate_hz) for number in range(200))
    duration_s = 200 / rate_hz
    assert passed <= duration_s * fps + 1
    assert passed >= min(200, int(duration_s * min(fps, rate_hz) * 0.49))


def test_a_camera_whose_clock_stands_almost_still_is_watched_all_the_same() -> None:
    clock = FakeClock()
    limit, pacer = ArrivalLimit(5.0, clock), Pacer(5.0)
    passed = 0
    for number in range(300):  # 30 s at 10 pictures a second, of which the camera says 0.3 s
        clock.now_s += 0.1
        due = pacer.passes(number * 0.001) or limit.starved()
        passed += due and limit.allows()
    assert 60 <= passed <= 150


def test_pictures_are_kept_at_the_cameras_size_only_if_asked(video: Path) -> None:
    kept = next(iter(reader_of(video, keep=True).frames()))
    assert kept.picture
    assert kept.picture.rgb().shape == (120, 160, 3)
    assert read(video)[0].picture is None


@pytest.mark.parametrize("name", ["cut.mp4", "cut.avi", "cut.mkv"])
def test_a_truncated_video_gives_what_is_readable_and_says_so(tmp_path: Path, name: str) -> None:
    whole = encode(tmp_path / f"whole{name[3:]}", moving_square(120))
    if name.endswith("mp4"):  # an ordinary MP4 has its index at the end; one for streaming has it at the start
        whole = faststart(whole, tmp_path / "fast.mp4")
    content = whole.read_bytes()
    (tmp_path / name).write_bytes(content[: int(len(content) * 0.6)])
    reader = reader_of(tmp_path / name)
    frames = list(reader.frames())
    assert 30 < len(frames) < 110
    assert any("cut off" in w or "damaged" in w for w in reader.summary().warnings), reader.summary()


def faststart(source: Path, target: Path) -> Path:
    with av.open(str(source)) as reading, av.open(str(target), "w", options={"movflags": "faststart"}) as writing:
        stream = writing.add_stream_from_template(reading.streams.video[0])
        for packet in reading.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                writing.mux(packet)
    return target


def test_a_whole_video_has_no_warning(video: Path) -> None:
    reader = reader_of(video)
    list(reader.frames())
    assert reader.summary().warnings == ()


@pytest.mark.parametrize("name", ["courtyard.avi", "plaza.avi"])
def test_real_videos_have_no_warning(name: str) -> None:
    reader = reader_of(shared_file(name))
    list(reader.frames())
    assert reader.summary().warnings == ()


def test_an_mp4_without_its_index(tmp_path: Path, video: Path) -> None:
    (tmp_path / "x.mp4").write_bytes(video.read_bytes()[:2000])
    with pytest.raises(SourceError, match="not a readable video"):
        read(tmp_path / "x.mp4")


def test_a_zero_byte_file(tmp_path: Path) -> None:
    (tmp_path / "x.mp4").touch()
    with pytest.raises(SourceEmpty, match="0 bytes"):
        read(tmp_path / "x.mp4")


def test_a_text_file_named_mp4(tmp_path: Path) -> None:
    (tmp_path / "x.mp4").write_text("this is not a video\n" * 100)
    with pytest.raises(SourceError, match="not a readable video"):
        read(tmp_path / "x.mp4")


def test_a_video_without_frames(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "x.avi"), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "21"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        container.start_encoding()
    with pytest.raises(SourceError):
        read(tmp_path / "x.avi")


def test_an_audio_file(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "x.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(SourceEmpty, match="no video stream"):
        read(tmp_path / "x.wav")


def test_a_damaged_image_is_counted_and_left_out(tmp_path: Path) -> None:
    for number, picture in enumerate(moving_square(3)):
        cv2.imwrite(str(tmp_path / f"{number}.jpg"), picture)
    (tmp_path / "1.jpg").write_bytes(b"not a jpeg")
    reader = reader_of(tmp_path)
    assert len(list(reader.frames())) == 2
    assert reader.summary().decode_errors == 1
    assert "damaged" in reader.summary().warnings[0]


def test_a_file_that_vanished_after_it_was_named(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", moving_square(2))
    reader = reader_of(path)
    path.unlink()
    with pytest.raises(SourceNotFound):
        list(reader.frames())


def deferred(source: Path, drops: list[DropReason] | None = None) -> FrameReader:
    listeners = ReaderListeners(on_drop=drops.append) if drops is not None else ReaderListeners()
    where = parse_source(str(source))
    return FrameReader("cam", where, opener=PyAvOpener(), clock=SystemClock(), motion_step_s=0.2, listeners=listeners)


def test_frames_that_are_made_later_are_the_same_to_the_bit(video: Path) -> None:
    for due, made in zip(list(deferred(video).due_frames()), read_moving(video), strict=True):
        later = due.captured(made.captured_at_s).make()
        np.testing.assert_array_equal(later.pixels, made.pixels)
        assert (later.index, later.time_s, later.segment, later.camera) == (made.index, made.time_s, made.segment, made.camera)
        assert later.captured_at_s == made.captured_at_s
        assert (later.speed is None) == (made.speed is None)
        if later.speed is not None and made.speed is not None:
            np.testing.assert_array_equal(later.speed, made.speed)


def test_each_connection_to_a_camera_is_a_segment_and_each_reading_of_a_file_the_same(video: Path) -> None:
    """What is averaged or held over frames is so within a segment: at a camera that comes back it starts anew."""
    file = parse_source(str(video))
    camera = replace(file, segments=tuple(replace(segment, kind="live") for segment in file.segments))
    for source, expected in ((file, [{0}, {0}]), (camera, [{0}, {1}])):
        reader = FrameReader("cam", source, opener=PyAvOpener(), clock=SystemClock())
        assert [{frame.segment for frame in itertools.islice(reader.frames(), 9)} for _ in range(2)] == expected


def test_what_cannot_be_scaled_is_told_by_the_reader_though_frames_are_made_later(
    video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise MemoryError

    drops = list[DropReason]()
    monkeypatch.setattr(VideoReformatter, "reformat", refuse)
    with pytest.raises(SourceEmpty):
        list(deferred(video, drops).due_frames())
    assert drops == [DropReason.CORRUPT] * 80


def test_a_frame_checks_its_shape() -> None:
    with pytest.raises(ValueError, match="256"):
        Frame("c", 0, 0.0, 0.0, 0.0, np.zeros((2, 2, 3), np.uint8))
