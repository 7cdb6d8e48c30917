"""Recordings as people have them: damaged, without times, with sound or pictures beside the video."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from functools import partial
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import cv2
import numpy as np
import pytest
from av.stream import Disposition
from PIL import Image

from benchmarks.damaged_recordings import (
    CODECS,
    COUNT,
    KEY_EVERY,
    OPTIONS,
    RATE_HZ,
    differs,
    encoded,
    scene,
    write,
    write_damaged,
)
from streamwatch.clock import SystemClock
from streamwatch.config.schema import CameraDefaults
from streamwatch.errors import SourceEmpty, SourceError, SourceNotFound
from streamwatch.records import Frame
from streamwatch.retry import caught
from streamwatch.video.reader import FrameReader
from streamwatch.video.sources import camera_source, parse_source
from streamwatch.video.streams.choice import choose_stream, say_choice
from streamwatch.video.streams.complaints import heard, listen
from streamwatch.video.streams.frame_numbers import FrameNumbers
from streamwatch.video.streams.opener import PyAvOpener

FORMS = [("h264", "ts"), ("h264", "mp4"), ("hevc", "mkv"), ("mpeg4", "avi"), ("mjpeg", "avi")]


def packets_of(codec: str) -> tuple[list[av.Packet[Any]], Any]:
    encoder: Any = av.CodecContext.create(CODECS[codec], "w")
    encoder.width, encoder.height = 128, 96
    encoder.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, RATE_HZ), Fraction(RATE_HZ)
    encoder.options = OPTIONS[codec]
    encoder.thread_count = 1
    packets = []
    for number in range(COUNT):
        frame = av.VideoFrame.from_ndarray(scene(number), format="rgb24").reformat(format=encoder.pix_fmt)
        frame.pts, frame.time_base = number, encoder.time_base
        packets += encoder.encode(frame)
    return [*packets, *encoder.encode(None)], encoder


def keeping(keep: Callable[[int], bool]) -> Callable[[list[Any]], list[Any]]:
    return lambda packets: [packet for number, packet in enumerate(packets) if keep(number)]


def read(path: Path, **how: Any) -> tuple[list[Frame], FrameReader]:
    reader = FrameReader("cam", parse_source(str(path), **how), opener=PyAvOpener(), clock=SystemClock())
    return list(reader.frames()), reader


def wrong(frames: list[Frame]) -> list[float]:
    """Times of pictures that are not what the scene was then."""
    return [frame.time_s for frame in frames if differs(frame)]


@pytest.mark.parametrize("codec", CODECS)
def test_a_whole_recording_is_read_whole(codec: str, tmp_path: Path) -> None:
    write(tmp_path / "whole.mkv", codec)
    frames, reader = read(tmp_path / "whole.mkv")
    assert len(frames) == COUNT
    assert wrong(frames) == []
    assert reader.summary().warnings == ()


@pytest.mark.parametrize("codec", ["h264", "hevc", "mpeg4"])
@pytest.mark.parametrize("lost", [range(13, 16), range(10, 11), range(24, 27)])
def test_pictures_after_lost_ones_wait_for_a_key_frame_and_are_counted(codec: str, lost: range, tmp_path: Path) -> None:
    write(tmp_path / "lossy.ts", codec, keeping(lambda number: number not in lost))
    frames, reader = read(tmp_path / "lossy.ts")
    assert wrong(frames) == []
    assert len(frames) >= COUNT - KEY_EVERY - len(lost)
    assert reader.summary().decode_errors > 0 or len(frames) + len(lost) == COUNT


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(
    ("codec", "suffix"), [("h264", "ts"), ("h264", "mp4"), ("hevc", "mkv"), ("mpeg4", "avi"), ("mjpeg", "avi")]
)
def test_flipped_bits_are_never_shown_for_long_and_times_stay_within_the_recording(
    codec: str, suffix: str, seed: int, tmp_path: Path
) -> None:
    path, random = tmp_path / f"flipped.{suffix}", np.random.default_rng(seed)
    write(path, codec)
    content = bytearray(path.read_bytes())
    for at in random.integers(len(content) // 8, len(content), 12):
        content[at] ^= 1 << int(random.integers(8))
    path.write_bytes(content)
    try:
        frames, _ = read(path)
    except SourceError:
        return
    times_s = [frame.time_s for frame in frames]
    assert all(b > a for a, b in pairwise(times_s))
    with av.open(str(path), metadata_errors="replace") as container:
        stream = container.streams.video[0]
        own_s = float((stream.duration or 0) * (stream.time_base or 0))
        said_s = max((container.duration or 0) / av.time_base, own_s)  # which a flipped bit may have made longer
    assert not times_s or times_s[-1] < max(COUNT / RATE_HZ, said_s) + 1.0


@pytest.mark.parametrize("codec", ["hevc", "mpeg4", "h264"])
def test_a_recording_of_uneven_rate_is_read_whole(codec: str, tmp_path: Path) -> None:
    def slower(packets: list[Any]) -> list[Any]:
        for number, packet in enumerate(packets):
            late = 3 * (number // 12)
            packet.pts, packet.dts = packet.pts + late, packet.dts + late
        return packets

    write(tmp_path / "uneven.mkv", codec, slower)
    frames, reader = read(tmp_path / "uneven.mkv")
    assert len(frames) == COUNT
    assert reader.summary().decode_errors == 0


def test_damage_behind_a_key_frame_is_not_ended_by_it_though_it_comes_out_later(tmp_path: Path) -> None:
    options = {"x264-params": f"keyint={KEY_EVERY}:min-keyint={KEY_EVERY}:scenecut=0:bframes=2:b-adapt=0:open-gop=0"}
    with av.open(str(tmp_path / "b.ts"), "w") as container:
        stream: Any = container.add_stream("libx264", rate=RATE_HZ, options=options)
        packets = list(encoded(stream))
        key = [number for number, packet in enumerate(packets) if packet.is_keyframe][1]
        for number, packet in enumerate(packets):
            if number != key + 1:
                container.mux(packet)
    frames, _ = read(tmp_path / "b.ts")
    assert wrong(frames) == []


def test_half_a_picture_of_an_mjpeg_recording_is_left_out(tmp_path: Path) -> None:
    def halved(packets: list[Any]) -> list[Any]:
        half = av.Packet(bytes(packets[5])[: packets[5].size // 2])
        half.pts, half.dts, half.time_base, half.stream = (
            packets[5].pts,
            packets[5].dts,
            packets[5].time_base,
            packets[5].stream,
        )
        return [*packets[:5], half, *packets[6:]]

    write(tmp_path / "half.avi", "mjpeg", halved)
    frames, reader = read(tmp_path / "half.avi")
    assert len(frames) == COUNT - 1
    assert reader.summary().decode_errors == 1
    assert wrong(frames) == []


def test_a_stream_joined_in_mid_group_is_read_from_its_first_key_frame(tmp_path: Path) -> None:
    packets, _ = packets_of("h264")
    (tmp_path / "mid.h264").write_bytes(b"".join(bytes(packet) for packet in packets[5:]))
    frames, reader = read(tmp_path / "mid.h264")
    assert len(frames) == COUNT - KEY_EVERY
    assert reader.summary().decode_errors == KEY_EVERY - 5, "what cannot be decoded before it is counted"


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_a_raw_stream_runs_at_the_rate_that_its_own_headers_say(codec: str, tmp_path: Path) -> None:
    packets, _ = packets_of(codec)
    (tmp_path / f"raw.{codec}").write_bytes(b"".join(map(bytes, packets)))
    frames, reader = read(tmp_path / f"raw.{codec}", frame_rate_hz=3)
    assert [frame.time_s for frame in frames] == pytest.approx([n / RATE_HZ for n in range(COUNT)])
    assert reader.summary().warnings == ()


def test_a_raw_stream_that_says_nothing_runs_at_the_rate_that_the_user_says_and_it_is_told(tmp_path: Path) -> None:
    packets, _ = packets_of("mjpeg")
    (tmp_path / "raw.mjpeg").write_bytes(b"".join(map(bytes, packets)))
    frames, reader = read(tmp_path / "raw.mjpeg", frame_rate_hz=4)
    assert frames[-1].time_s == pytest.approx((COUNT - 1) / 4)
    assert "taken as 4 frames/s" in reader.summary().warnings[0]


@pytest.mark.parametrize("keep", [lambda n: n < COUNT // 2, lambda n: n >= COUNT // 2])
def test_sound_that_is_longer_is_no_missing_video(keep: Callable[[int], bool], tmp_path: Path) -> None:
    path = tmp_path / "loud.mp4"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=RATE_HZ, options=OPTIONS["h264"])
        sound: Any = container.add_stream("aac", rate=8000)
        for packet in keeping(keep)(list(encoded(stream))):
            container.mux(packet)
        for number in range(COUNT * 800 // 1024):
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            silence.sample_rate, silence.pts = 8000, number * 1024
            container.mux(sound.encode(silence))
        container.mux(sound.encode(None))
    frames, reader = read(path)
    first_s = 0.0 if keep(0) else COUNT / 2 / RATE_HZ
    assert [frame.time_s for frame in frames] == pytest.approx([first_s + n / RATE_HZ for n in range(COUNT // 2)], abs=0.01)
    assert reader.summary().warnings == ()


def a_stream(width: int, height: int, disposition: Disposition = Disposition(0)) -> Any:  # noqa: B008 - an enum's member
    return SimpleNamespace(codec_context=SimpleNamespace(width=width, height=height), disposition=disposition)


def test_the_default_stream_is_read_else_the_largest_never_a_cover() -> None:
    preview, film = a_stream(64, 48), a_stream(1920, 1080)
    default, cover = a_stream(640, 480, Disposition.default), a_stream(3000, 3000, Disposition.attached_pic)
    assert choose_stream([preview, film], None, "x") is film
    assert choose_stream([preview, film, default], None, "x") is default
    assert choose_stream([cover, preview], None, "x") is preview
    assert choose_stream([preview, film], 0, "x") is preview
    assert "1 is read" in str(say_choice([preview, film], film))
    assert say_choice([film], film) is None
    unknown: Any = SimpleNamespace(codec_context=None, disposition=Disposition(0))
    assert choose_stream([unknown, film], None, "x") is film
    with pytest.raises(SourceError, match="codec that FFmpeg does not know"):
        choose_stream([unknown], None, "x")
    with pytest.raises(SourceEmpty, match="cover picture"):
        choose_stream([cover], None, "x")
    with pytest.raises(SourceEmpty, match="no video"):
        choose_stream([], None, "x")
    with pytest.raises(SourceError, match="no video stream 2"):
        choose_stream([preview, film], 2, "x")


def test_frame_numbers_tell_what_is_missing_and_nothing_else() -> None:
    packets, _ = packets_of("h264")
    for lost in (range(0), range(12, 14), range(3, 9)):
        numbers = FrameNumbers(b"")
        told = [numbers.follows(bytes(packet)) for n, packet in enumerate(packets) if n not in lost]
        assert [n for n, follows in enumerate(told) if follows is False] == ([lost.start] if len(lost) else [])


@pytest.mark.parametrize("content", [b"", b"\x00\x00\x01", b"\x00\x00\x01\x67", b"\x00\x00\x01\x65\x00" * 9, bytes(range(256))])
def test_frame_numbers_of_nonsense_are_unknown(content: bytes) -> None:
    assert FrameNumbers(content).follows(content) is None


@pytest.mark.parametrize("key_every", [10, 250])
def test_a_film_that_was_cut_without_being_coded_anew_is_read_from_where_it_begins(key_every: int, tmp_path: Path) -> None:
    """Its first key frame is before its beginning: players decode and do not show it (edit list, ISO/IEC 14496-12, 8.6.6)."""
    whole, cut = tmp_path / "whole.mp4", tmp_path / "cut.mp4"
    with av.open(str(whole), "w") as out:
        stream = out.add_stream("libx264", rate=RATE_HZ, options={"g": str(key_every)})
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for number in range(COUNT):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(scene(number), format="rgb24")))
        out.mux(stream.encode(None))
    first = 15
    with av.open(str(whole)) as source, av.open(str(cut), "w", options={"avoid_negative_ts": "disabled"}) as out:
        coded = source.streams.video[0]
        stream = out.add_stream_from_template(coded)
        before = round(first / RATE_HZ / float(coded.time_base or 1))
        for packet in source.demux(coded):
            if packet.dts is not None and packet.pts is not None:
                packet.pts, packet.dts, packet.stream = packet.pts - before, packet.dts - before, stream
                out.mux(packet)
    frames, reader = read(cut)
    assert len(frames) == COUNT - first
    assert reader.summary().decode_errors == 0
    assert [frame.time_s for frame in frames] == pytest.approx([number / RATE_HZ for number in range(COUNT - first)], abs=0.01)


def test_a_recording_of_one_picture_lasts_as_long_as_one(tmp_path: Path) -> None:
    for name, count in (("a", 1), ("b", 3)):
        with av.open(str(tmp_path / f"{name}.mp4"), "w") as out:
            stream = out.add_stream("libx264", rate=RATE_HZ)
            stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
            for number in range(count):
                out.mux(stream.encode(av.VideoFrame.from_ndarray(scene(number), format="rgb24")))
            out.mux(stream.encode(None))
    frames, _ = read(tmp_path)
    times = [frame.time_s for frame in frames]
    assert len(times) == 4
    assert all(before < after for before, after in pairwise(times))


def test_pictures_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(b"no picture" if number == 1 else coded_picture())
    (tmp_path / "3.jpg").symlink_to(tmp_path / "nowhere.jpg")
    frames, reader = read(tmp_path)
    assert len(frames) == 2
    assert any("not readable: 1.jpg, 3.jpg" in warning for warning in reader.summary().warnings)


def coded_picture() -> bytes:
    return bytes(cv2.imencode(".jpg", np.zeros((48, 64, 3), np.uint8))[1].tobytes())


@pytest.mark.parametrize("text", ["", "  "])
def test_no_name_is_no_source(text: str) -> None:
    with pytest.raises(SourceNotFound, match="no source is named"):
        parse_source(text)


def test_a_url_without_its_protocol_is_told_and_its_password_is_not() -> None:
    with pytest.raises(SourceNotFound) as refused:
        parse_source("viewer:Hid/den #7@10.0.0.5/stream")
    assert "this is no URL" in str(refused.value)
    assert "Hid/den" not in str(refused.value)


def test_a_short_file_url_is_one(tmp_path: Path) -> None:
    (tmp_path / "0 1.jpg").write_bytes(coded_picture())
    assert len(parse_source(f"file:{tmp_path}/0%201.jpg").segments) == 1


def test_damage_that_ffmpeg_words_alike_is_heard_each_time() -> None:
    listen()

    def damaged() -> None:
        av.logging.log(av.logging.ERROR, "rtsp", "RTP: missed 1 packets\n")

    assert [heard(damaged)[1] for _ in range(4)] == [True] * 4
    with ThreadPoolExecutor(1) as another:
        assert another.submit(heard, damaged).result()[1], "and whichever stream it is of"
        assert not another.submit(heard, lambda: None).result()[1], "and of no other"


def test_each_of_several_pictures_that_are_cut_is_left_out(tmp_path: Path) -> None:
    for number in range(20):
        content = BytesIO()
        Image.fromarray(scene(number)).save(content, "GIF")
        whole = content.getvalue()
        (tmp_path / f"{number}.gif").write_bytes(whole[: len(whole) // 2] if 5 <= number < 15 else whole)
    frames, reader = read(tmp_path)
    assert len(frames) == 10
    assert reader.summary().decode_errors == 10


def test_a_damaged_recording_reads_alike_however_often_it_is_read(tmp_path: Path) -> None:
    for seed in range(6):
        path, _ = write_damaged(tmp_path, seed, scene)
        first, second = ([f.time_s for f in read(path)[0]] if caught(partial(read, path)) is None else [] for _ in range(2))
        assert first == second


def test_recordings_that_were_joined_are_both_read(tmp_path: Path) -> None:
    write(tmp_path / "one.ts", "h264")
    whole = (tmp_path / "one.ts").read_bytes()
    (tmp_path / "twice.ts").write_bytes(whole + whole)
    frames, _ = read(tmp_path / "twice.ts")
    assert len(frames) >= 2 * COUNT - 4, "where they were joined a packet or two may be damaged"
    damaged = bytearray(whole)
    damaged[-400:-200] = bytes(200)
    (tmp_path / "damaged.ts").write_bytes(bytes(damaged) + whole)
    frames, _ = read(tmp_path / "damaged.ts")
    assert len(frames) >= 2 * COUNT - KEY_EVERY - 4, "damage before the clock was set back is not after it"


def test_a_film_that_begins_late_is_not_cut_off(tmp_path: Path) -> None:
    """FFmpeg's Matroska gives a stream of which probing saw no picture the duration of the whole file."""
    path = tmp_path / "late.mkv"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=RATE_HZ, options=OPTIONS["h264"])
        sound: Any = container.add_stream("aac", rate=8000)
        packets = list(encoded(stream))
        silence = [
            av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono") for _ in range(110)
        ]
        for number, frame in enumerate(silence):
            frame.sample_rate, frame.pts = 8000, number * 1024
            container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
        for packet in packets:
            packet.pts, packet.dts = (packet.pts or 0) + 8 * RATE_HZ, (packet.dts or 0) + 8 * RATE_HZ
            container.mux(packet)
    frames, reader = read(path)
    assert len(frames) == COUNT
    assert reader.summary().warnings == ()


def test_footage_need_not_have_the_second_stream_of_its_camera(tmp_path: Path) -> None:
    write(tmp_path / "one.mp4", "h264")
    settings = CameraDefaults(stream=1)
    opener = PyAvOpener()
    with opener.open(camera_source(str(tmp_path / "one.mp4"), settings, footage=True).segments[0]) as stream:
        assert len(list(stream.pictures())) == COUNT
    with (
        pytest.raises(SourceError, match="has no video stream 1"),
        opener.open(camera_source(str(tmp_path / "one.mp4"), settings).segments[0]),
    ):
        pass
