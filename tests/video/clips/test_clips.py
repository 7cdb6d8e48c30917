"""Clips as players see them: the source's pictures bit for bit, or covered ones; readable by FFmpeg's own tools."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import cast

import av
import numpy as np
import pytest
from av.video.stream import VideoStream

from streamwatch.clock import SystemClock
from streamwatch.records import Float64Array, UInt8Array
from streamwatch.video.clips.feed import KEY_FRAME_EVERY_S, ClipFeed, Cover
from streamwatch.video.clips.file import ClipFile
from streamwatch.video.clips.ring import ClipRing
from streamwatch.video.overlay import black_out, pixelate, write_picture
from streamwatch.video.pace import Pace
from streamwatch.video.reader import FrameReader, RetentionOptions
from streamwatch.video.sources import parse_source
from streamwatch.video.streams.opener import PyAvOpener
from tests.conftest import encode, moving_square, shared_file

CODECS = {
    "h264.mp4": "libx264",
    "h264.mkv": "libx264",
    "mpeg4.avi": "mpeg4",
    "mpeg4.mp4": "mpeg4",
    "hevc.mp4": "libx265",
    "hevc.mkv": "libx265",
    "av1.mkv": "libsvtav1",
    "vp9.mkv": "libvpx-vp9",
}
"""Who encodes what is copied."""
CODED_BLACK = 24
"""The brightest that a black picture comes out as, after H.264."""


def clip_of(
    source: Path, folder: Path, span_s: tuple[float, float], *, cover: Cover | None = None, fps: float | None = None
) -> ClipFile:
    """Read a source whole, and cut a clip."""
    ring = ClipRing(hold_s=1e6, max_bytes=10**9)
    reader = FrameReader(
        "cam",
        parse_source(str(source)),
        opener=PyAvOpener(),
        clock=SystemClock(),
        pace=Pace(fps),
        retention=RetentionOptions(feed=ClipFeed(ring, cover)),
    )
    assert sum(1 for _ in reader.frames())
    cursor = ring.open_at(span_s[0])
    assert cursor
    file = ClipFile(folder / "clip.mp4", cursor.run)
    file.write(ring.read(cursor, span_s[1])[0])
    file.close()
    return file


def pictures_of(path: Path) -> Iterator[tuple[float, UInt8Array]]:
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield frame.time or 0.0, np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same 12 s by codec and container, key frames every 2 s or so, and as images."""
    folder = tmp_path_factory.mktemp("sources")
    found = {}
    for name, codec in CODECS.items():
        with av.open(str(folder / name), "w") as container:
            stream = cast("VideoStream", container.add_stream(codec, rate=10, options={"g": "20"}))
            stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
            for picture in moving_square(120):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode(None))
        found[name] = folder / name
    (folder / "images").mkdir()
    for number, picture in enumerate(moving_square(60)):
        write_picture(str(folder / "images" / f"{number:03d}.png"), picture)
    return {**found, "images": folder / "images"}


@pytest.mark.parametrize("name", CODECS)
def test_a_copied_clips_pictures_are_the_sources_bit_for_bit(sources: dict[str, Path], tmp_path: Path, name: str) -> None:
    whole = [picture for _, picture in pictures_of(sources[name])]
    file = clip_of(sources[name], tmp_path, (4.0, 9.0))
    assert file.run.copied
    assert file.from_s is not None
    assert file.to_s is not None
    assert 1.5 <= file.from_s <= 4.0
    assert file.to_s >= 9.0
    clip = list(pictures_of(file.path))
    first = next(n for n, picture in enumerate(whole) if (picture == clip[0][1]).all())
    assert first / 10 <= 4.0
    assert len(clip) >= 50
    places = [first + round(10 * (at_s - clip[0][0])) for at_s, _ in clip]
    for place, (_, picture) in zip(places, clip, strict=True):
        assert (picture == whole[place]).all(), place
    promised = [place for place in places if place / 10 <= 9.0]  # pictures that are decoded later may be shown between the last
    assert promised == list(range(first, 91))
    steps = np.diff([at_s for at_s, _ in clip[: len(promised)]])
    assert steps == pytest.approx(np.full(len(steps), 0.1), abs=0.011)


@pytest.mark.parametrize("name", ["courtyard.avi", "plaza.avi"])
def test_real_cameras_are_copied(tmp_path: Path, name: str) -> None:
    """B-frames, and no presentation times (AVI)."""
    source = shared_file(name)
    file = clip_of(source, tmp_path, (3.0, 6.0), fps=1.0)
    clip = [picture.tobytes() for _, picture in pictures_of(file.path)]
    whole = {picture.tobytes() for _, (_, picture) in zip(range(600), pictures_of(source), strict=False)}
    assert file.run.copied
    assert len(clip) > 30
    assert set(clip) <= whole


def test_images_are_encoded_at_the_frames_own_times(sources: dict[str, Path], tmp_path: Path) -> None:
    file = clip_of(sources["images"], tmp_path, (2.0, 5.0), fps=5.0)
    assert not file.run.copied
    clip = list(pictures_of(file.path))
    assert file.from_s is not None
    assert 2.0 - KEY_FRAME_EVERY_S - 0.2 <= file.from_s <= 2.0
    assert len(clip) == round((5.0 - file.from_s) * 5) + 1
    shown = list(moving_square(60))[round(10 * file.from_s)]
    assert np.abs(clip[0][1].astype(int) - shown).mean() < 6


def test_what_is_private_is_in_no_clip(sources: dict[str, Path], tmp_path: Path) -> None:
    left_half = [[(0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)]]
    file = clip_of(sources["h264.mp4"], tmp_path, (2.0, 8.0), cover=partial(black_out, polygons=left_half))
    assert not file.run.copied
    clip = [picture for _, picture in pictures_of(file.path)]
    assert max(picture[:, :76].max() for picture in clip) <= CODED_BLACK
    assert np.mean([picture[:, 84:].mean() for picture in clip]) > 40


def test_pixelated_clips_show_no_detail(sources: dict[str, Path], tmp_path: Path) -> None:
    file = clip_of(sources["h264.mp4"], tmp_path, (2.0, 4.0), cover=pixelate)
    (_, shown), *_ = pictures_of(file.path)
    (_, source), *_ = pictures_of(sources["h264.mp4"])
    alike = float(np.corrcoef(_detail(shown), _detail(source))[0, 1])
    assert alike < 0.25, "what is left within the squares must be the codec's, not the camera's"


def _detail(picture: UInt8Array) -> Float64Array:
    """Every pixel's grey level against the mean of its square of 5x5."""
    block = picture.mean(axis=2).reshape(24, 5, 32, 5)
    return np.asarray(block - block.mean(axis=(1, 3), keepdims=True)).ravel()


def test_odd_sizes_and_a_change_of_size_are_encoded(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for number in range(20):
        size = (101, 75) if number < 10 else (64, 48)
        picture = np.full((size[1], size[0], 3), 10 * number, np.uint8)
        write_picture(str(tmp_path / "images" / f"{number:02d}.png"), picture)
    file = clip_of(tmp_path / "images", tmp_path, (0.0, 9.0))
    assert {picture.shape for _, picture in pictures_of(file.path)} == {(48, 64, 3)}, "a clip is of one size, the newest"


def test_pictures_that_no_codec_takes_stop_the_clips_and_not_the_camera(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for number in range(5):
        write_picture(str(tmp_path / f"images/{number}.png"), np.full((1, 40, 3), 50, np.uint8))
    ring = ClipRing(hold_s=10, max_bytes=10**6)
    source = parse_source(str(tmp_path / "images"))
    reader = FrameReader(
        "cam", source, opener=PyAvOpener(), clock=SystemClock(), retention=RetentionOptions(feed=ClipFeed(ring))
    )
    assert sum(1 for _ in reader.frames()) == 5
    assert ring.open_at(0.0) is None


@pytest.mark.skipif(not shutil.which("ffprobe"), reason="ffprobe is not installed")
@pytest.mark.parametrize("name", ["h264.mp4", "mpeg4.avi", "images"])
def test_ffprobe_reads_it(sources: dict[str, Path], tmp_path: Path, name: str) -> None:
    file = clip_of(sources[name], tmp_path, (2.0, 5.0))
    asked = ["ffprobe", "-v", "error", "-count_frames", "-show_streams", "-of", "json", str(file.path)]
    done = subprocess.run(asked, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    (stream,) = json.loads(done.stdout)["streams"]
    assert stream["codec_name"] == ("mpeg4" if name == "mpeg4.avi" else "h264")
    assert int(stream["nb_read_frames"]) >= 30


@pytest.mark.parametrize("share", [0.35, 0.6, 0.97])
def test_a_file_that_was_cut_off_plays_up_to_about_there(sources: dict[str, Path], tmp_path: Path, share: float) -> None:
    file = clip_of(sources["h264.mp4"], tmp_path, (0.0, 12.0))
    content = file.path.read_bytes()
    (tmp_path / "cut.mp4").write_bytes(content[: round(share * len(content))])
    whole = [picture for _, picture in pictures_of(file.path)]
    played: list[UInt8Array] = []
    with suppress(av.error.InvalidDataError):  # in the last fragment
        for _, picture in pictures_of(tmp_path / "cut.mp4"):
            played.append(picture)
    assert len(played) >= (share * len(whole)) - 22
    assert all((a == b).all() for a, b in zip(played[:-1], whole, strict=False))


def test_a_clip_is_the_last_stretch_of_several_files(tmp_path: Path) -> None:
    for number in range(2):
        encode(tmp_path / f"{number}.mp4", moving_square(30, noise_seed=number))
    file = clip_of(tmp_path / "*.mp4", tmp_path, (4.0, 5.0))
    assert file.from_s == pytest.approx(3.0, abs=0.11)
    assert len(list(pictures_of(file.path))) >= 20
