"""What a folder, a glob and a name mean."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from streamwatch.clock import SystemClock
from streamwatch.errors import SourceEmpty, SourceError, SourceNotFound
from streamwatch.learning.footage import Footage, expected_frames, readers_of, timeline
from streamwatch.video.folders import in_order, natural_key
from streamwatch.video.reader import FrameReader
from streamwatch.video.sources import parse_source
from streamwatch.video.streams.opener import PyAvOpener
from tests.video.test_orientation import write_recording

UPRIGHT_MATRIX = (1, 0, 0, 1)


def write_picture(path: Path) -> None:
    Image.fromarray(np.full((48, 64, 3), 90, np.uint8)).save(path)


def read(source: str) -> tuple[int, tuple[str, ...]]:
    """How many frames, and what was said of it."""
    reader = FrameReader("cam", parse_source(source), opener=PyAvOpener(), clock=SystemClock())
    return len(list(reader.frames())), reader.summary().warnings


def test_two_comes_before_ten() -> None:
    names = ["f10.jpg", "f2.jpg", "f1.jpg", "f010.jpg", "a/f3.jpg", "f2b.jpg"]
    assert [str(p) for p in in_order(map(Path, names))] == ["a/f3.jpg", "f1.jpg", "f2.jpg", "f2b.jpg", "f010.jpg", "f10.jpg"]


@given(st.lists(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1), max_size=8))
def test_any_names_have_an_order(names: list[str]) -> None:
    assert in_order(map(Path, names)) == in_order(map(Path, reversed(names)))
    assert all((natural_key(Path(a)) == natural_key(Path(b))) == (Path(a) == Path(b)) for a in names for b in names)


@pytest.mark.parametrize("suffix", [".webp", ".gif", ".ppm", ".jp2", ".tif", ".bmp", ".jpg", ".png", ".JPG"])
def test_every_kind_of_picture_is_a_frame_at_the_folders_rate(suffix: str, tmp_path: Path) -> None:
    for number in range(3):
        write_picture(tmp_path / f"f{number}{suffix}")
    reader = FrameReader("cam", parse_source(str(tmp_path), frame_rate_hz=4), opener=PyAvOpener(), clock=SystemClock())
    assert [frame.time_s for frame in reader.frames()] == [0.0, 0.25, 0.5]


def test_a_mixed_folder_of_pictures_is_read_whole(tmp_path: Path) -> None:
    for name in ("f1.jpg", "f2.webp", "f3.png", "f10.gif"):
        write_picture(tmp_path / name)
    (tmp_path / "Thumbs.db").write_bytes(b"x")
    count, said = read(str(tmp_path))
    assert count == 4
    assert "Thumbs.db" in said[0]


@pytest.mark.parametrize("pattern", ["", "/*"])
def test_recordings_are_read_and_what_lies_beside_them_is_named(pattern: str, tmp_path: Path) -> None:
    for name in ("0900.mp4", "0910.mp4"):
        write_recording(tmp_path / name, UPRIGHT_MATRIX)
    write_picture(tmp_path / "0900.jpg")
    (tmp_path / "0900.txt").write_text("notes")
    (tmp_path / "0900.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nhello\n")
    count, said = read(f"{tmp_path}{pattern}")
    assert count == 12
    assert "3 file(s) left out" in said[0]
    assert all(name in said[0] for name in ("0900.jpg", "0900.srt", "0900.txt"))


def test_one_unreadable_recording_of_several_is_left_out_and_told(tmp_path: Path) -> None:
    for name in ("0900.mp4", "0910.mp4", "0920.mp4"):
        write_recording(tmp_path / name, UPRIGHT_MATRIX)
    (tmp_path / "0910.mp4").write_bytes((tmp_path / "0900.mp4").read_bytes()[:600])
    (tmp_path / "0930.mp4").touch()
    count, said = read(str(tmp_path))
    assert count == 12
    assert [("0910.mp4" in line, "0930.mp4" in line, "left out" in line) for line in said] == [
        (True, False, True),
        (False, True, True),
    ]
    assert expected_frames(Footage((parse_source(str(tmp_path)),)), PyAvOpener()) == 12


def test_one_unreadable_source_of_several_is_left_out_of_what_is_learned(tmp_path: Path) -> None:
    write_recording(tmp_path / "a.mp4", UPRIGHT_MATRIX)
    (tmp_path / "b.mp4").write_bytes(b"nothing")
    footage = Footage(tuple(parse_source(str(tmp_path / name)) for name in ("b.mp4", "a.mp4")))
    readers = readers_of(footage, "cam", PyAvOpener(), SystemClock())
    assert len(list(timeline(footage, readers))) == 6
    assert "left out" in readers[0].summary().warnings[0]


def test_a_source_that_is_unreadable_as_a_whole_is_an_error(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_bytes(b"nothing")
    with pytest.raises(SourceEmpty, match=r"the first of 2 is .*a\.mp4"):
        read(str(tmp_path))
    with pytest.raises(SourceError, match="not a readable video"):
        read(str(tmp_path / "a.mp4"))


@pytest.mark.parametrize(
    "name", ["cam:1.mp4", "http:foo.mp4", "~x.mp4", "a b%20c.mp4", "2026-01-01T10:30:00.mp4", "a[1].mp4", "#1?.mp4"]
)
def test_a_name_that_is_there_is_a_file(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_recording(tmp_path / name, UPRIGHT_MATRIX)
    monkeypatch.chdir(tmp_path)
    assert read(name)[0] == 6
    assert read(str(tmp_path / name))[0] == 6
    assert read(f"file://{tmp_path / name}")[0] == 6


@pytest.mark.parametrize("form", ["file://{}", "FILE://{}", "file://localhost{}"])
def test_a_file_url_is_decoded(form: str, tmp_path: Path) -> None:
    write_recording(tmp_path / "my cam.mp4", UPRIGHT_MATRIX)
    assert read(form.format(tmp_path / "my%20cam.mp4"))[0] == 6


@pytest.mark.parametrize("name", ["~nobody-of-that-name/x.mp4", "~x.mp4", "file:///nowhere/x.mp4", "file:///nowhere/%ff"])
def test_a_name_that_is_not_there_is_one_line(name: str) -> None:
    with pytest.raises(SourceNotFound):
        parse_source(name)


def test_text_is_no_video(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello " * 2000)
    with pytest.raises(SourceError, match="not a"):
        read(str(tmp_path / "notes.txt"))


def test_a_camera_by_capitals_is_a_camera() -> None:
    source = parse_source("RTSP://10.0.0.9/Main")
    assert source.live
    assert source.segments[0].location == "rtsp://10.0.0.9/Main"
