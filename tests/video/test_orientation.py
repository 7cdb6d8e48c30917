"""Pictures are looked at as they are shown, however they are stored."""

from __future__ import annotations

import struct
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageOps

from streamwatch.clock import SystemClock
from streamwatch.records import Frame, UInt8Array
from streamwatch.video.optical_flow import DEFAULT_STEP_S
from streamwatch.video.orientation import UPRIGHT, Orientation, orientation_of
from streamwatch.video.reader import FrameReader, RetentionOptions
from streamwatch.video.sources import parse_source
from streamwatch.video.streams.opener import PyAvOpener

WIDTH, HEIGHT = 96, 64
GREY_LEVELS = 12
"""What coding at high quality changes of a flat square."""


def corner_marked() -> UInt8Array:
    """A picture that no turn or flip makes the same again."""
    picture = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    picture[:16, :32] = (230, 30, 30)
    picture[-16:, :16] = (30, 30, 230)
    return picture


def shown(source: str) -> list[Frame]:
    reader = FrameReader(
        "cam",
        parse_source(source),
        opener=PyAvOpener(),
        clock=SystemClock(),
        retention=RetentionOptions(pictures=True),
        motion_step_s=DEFAULT_STEP_S,
    )
    return list(reader.frames())


def assert_shows(frame: Frame, expected: UInt8Array) -> None:
    assert frame.picture is not None
    assert (frame.picture.height, frame.picture.width) == expected.shape[:2]
    difference = np.abs(frame.picture.rgb().astype(int) - expected.astype(int))
    assert np.median(difference) <= GREY_LEVELS
    assert np.mean(difference > GREY_LEVELS) < 0.1
    model_input = np.asarray(Image.fromarray(expected).resize((256, 256), Image.Resampling.BICUBIC)).astype(int)
    assert np.mean(np.abs(frame.pixels.astype(int) - model_input) > 2 * GREY_LEVELS) < 0.1


@pytest.mark.parametrize("exif", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_a_pictures_exif_orientation_is_followed(exif: int, suffix: str, tmp_path: Path) -> None:
    said = Image.Exif()
    said[0x0112] = exif
    stored = Image.fromarray(corner_marked())
    stored.save(tmp_path / f"a{suffix}", exif=said, quality=95)
    with Image.open(tmp_path / f"a{suffix}") as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    assert_shows(shown(str(tmp_path))[0], expected)


MATRICES = [(a, 0, 0, d) for a in (1, -1) for d in (1, -1)] + [(0, b, c, 0) for b in (1, -1) for c in (1, -1)]


def placed(stored: UInt8Array, a: int, b: int, c: int, d: int) -> UInt8Array:
    """Every pixel (p, q) at (a p + c q, b p + d q), one by one, and the whole moved to where nothing is negative."""
    height, width = stored.shape[:2]
    at = {(p, q): (a * p + c * q, b * p + d * q) for p in range(width) for q in range(height)}
    left, top = min(x for x, _ in at.values()), min(y for _, y in at.values())
    shape = (width, height) if b else (height, width)
    turned = np.zeros((*shape, 3), np.uint8)
    for (p, q), (x, y) in at.items():
        turned[y - top, x - left] = stored[q, p]
    return turned


def write_recording(path: Path, matrix: tuple[int, int, int, int]) -> None:
    """Six pictures in an MP4 whose track header (tkhd, ISO/IEC 14496-12) has this matrix."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"qp": "4"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for _ in range(6):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(corner_marked(), format="rgb24")))
        container.mux(stream.encode(None))
    a, b, c, d = (value << 16 for value in matrix)
    content = path.read_bytes()
    at = content.index(b"tkhd") + 4 + 40
    path.write_bytes(content[:at] + struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30) + content[at + 36 :])


@pytest.mark.parametrize("matrix", MATRICES)
def test_a_recordings_display_matrix_is_followed_by_pictures_scores_and_motion(
    matrix: tuple[int, int, int, int], tmp_path: Path
) -> None:
    write_recording(tmp_path / "turned.mp4", matrix)
    frames = shown(str(tmp_path / "turned.mp4"))
    assert len(frames) == 6
    assert_shows(frames[0], placed(corner_marked(), *matrix))
    assert all(frame.speed is None or float(frame.speed.max()) < 1.0 for frame in frames)


def test_a_picture_that_says_nothing_is_upright_and_a_turned_one_has_its_sides_swapped() -> None:
    assert orientation_of(av.VideoFrame(WIDTH, HEIGHT, "yuv420p")) == UPRIGHT
    assert Orientation(transposed=True, flipped_x=True).size(WIDTH, HEIGHT) == (HEIGHT, WIDTH)


def test_what_is_upright_is_not_copied() -> None:
    picture = corner_marked()
    assert UPRIGHT.turn(picture) is picture


def test_what_is_said_once_holds_for_the_frames_behind_it(tmp_path: Path) -> None:
    """H.264's own message (ITU-T H.264, D.2.27): FFmpeg gives it with that key frame's picture alone."""
    plain, told = tmp_path / "plain.mp4", tmp_path / "told.mkv"
    with av.open(str(plain), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"qp": "4", "g": "4", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for _ in range(10):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(corner_marked(), format="rgb24")))
        container.mux(stream.encode(None))
    with av.open(str(plain)) as source, av.open(str(told), "w") as container:
        coded = source.streams.video[0]
        out = container.add_stream_from_template(coded)
        insert = av.BitStreamFilterContext("h264_mp4toannexb,h264_metadata=display_orientation=insert:rotate=270", coded, out)
        for packet in source.demux(coded):
            for made in insert.filter(packet if packet.dts is not None else None):
                made.stream = out
                container.mux(made)
    frames = shown(str(told))
    assert len(frames) == 10
    assert {(f.picture.width, f.picture.height) for f in frames if f.picture} == {(HEIGHT, WIDTH)}


def test_a_single_picture_of_a_kind_that_may_be_a_film_is_turned_too(tmp_path: Path) -> None:
    said = Image.Exif()
    said[0x0112] = 6
    Image.fromarray(corner_marked()).save(tmp_path / "a.webp", exif=said, quality=95)
    with Image.open(tmp_path / "a.webp") as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    assert_shows(shown(str(tmp_path / "a.webp"))[0], expected)
