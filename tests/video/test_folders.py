"""What a folder, a glob and a name mean."""

from __future__ import annotations

import getpass
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
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


def write_tree(folder: Path, *names: str) -> None:
    """Recordings and pictures of these names."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".mp4":
            write_recording(path, UPRIGHT_MATRIX)
        elif path.suffix == ".jpg":
            write_picture(path)
        else:
            path.write_text("notes")


@pytest.mark.parametrize(
    ("names", "recordings", "told"),
    [
        (["cover.jpg", "09/9.mp4", "09/10.mp4"], ["9.mp4", "10.mp4"], ["cover.jpg"]),
        (["now.mp4", "old/1.mp4"], ["now.mp4"], ["old"]),
        (["@eaDir/now.mp4/thumb.jpg", "2026/1.mp4"], ["1.mp4"], []),
        (["stills/1.jpg", "films/1.mp4"], ["1.mp4"], ["1.jpg"]),
        (["2/1.mp4", "10/1.mp4", "10/a/2.mp4"], ["2/1.mp4", "10/1.mp4", "10/a/2.mp4"], []),
        (["films/LICENSE", "films/1.mp4"], ["1.mp4"], ["LICENSE"]),
    ],
)
def test_recordings_anywhere_below_are_meant_and_what_is_left_out_is_named(
    names: list[str], recordings: list[str], told: list[str], tmp_path: Path
) -> None:
    write_tree(tmp_path, *names)
    source = parse_source(str(tmp_path))
    assert [segment.kind for segment in source.segments] == ["video"] * len(recordings)
    assert all(s.location.endswith(name) for s, name in zip(source.segments, recordings, strict=True))
    assert all(any(name in remark for remark in source.remarks) for name in told)


def test_pictures_of_a_folder_are_one_film_and_those_below_them_are_named(tmp_path: Path) -> None:
    write_tree(tmp_path, "1.jpg", "2.jpg", "old/3.jpg", "notes/LICENSE")
    count, said = read(str(tmp_path))
    assert count == 2
    assert any("3.jpg" in line for line in said)


@pytest.mark.parametrize("link", ["self", "day1/again"])
def test_a_link_that_leads_back_is_followed_once(link: str, tmp_path: Path) -> None:
    write_tree(tmp_path, "day1/a.mp4", "day2/b.mp4")
    (tmp_path / link).symlink_to(tmp_path)
    assert len(parse_source(str(tmp_path)).segments) == 2


def test_what_two_names_lead_to_is_read_once(tmp_path: Path) -> None:
    write_tree(tmp_path, "day1/a.mp4", "day1/b.mp4")
    (tmp_path / "latest").symlink_to("day1")
    (tmp_path / "day1/0-newest.mp4").symlink_to("b.mp4")
    assert [Path(s.location).name for s in parse_source(str(tmp_path)).segments] == ["a.mp4", "b.mp4"]


def test_a_link_to_another_disk_is_followed(tmp_path: Path) -> None:
    write_tree(tmp_path, "disk/a.mp4", "site/day1/b.mp4")
    (tmp_path / "site/day0").symlink_to(tmp_path / "disk")
    (tmp_path / "site/day2").symlink_to(tmp_path / "disk")
    assert [Path(s.location).name for s in parse_source(str(tmp_path / "site")).segments] == ["a.mp4", "b.mp4"]


def test_a_loop_with_nothing_in_it_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / "self").symlink_to(tmp_path)
    with pytest.raises(SourceEmpty, match="holds no pictures or videos"):
        parse_source(str(tmp_path))


def test_a_pipe_beside_recordings_is_left_out(tmp_path: Path) -> None:
    write_tree(tmp_path, "a.mp4")
    os.mkfifo(tmp_path / "b.mp4")
    count, said = read(str(tmp_path))
    assert count == 6
    assert "pipes or devices" in said[0]


def test_a_name_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound, match="cannot be looked at"):
        parse_source(str(tmp_path / ("a" * 300)))


@pytest.mark.parametrize("what", ["{}/closed/a.mp4", "{}/closed", "file://{}/closed/a.mp4", "{}/closed/*.mp4"])
def test_what_this_user_may_not_read_is_told(what: str, tmp_path: Path) -> None:
    write_tree(tmp_path, "closed/a.mp4")
    with as_another_user(tmp_path / "closed"), pytest.raises((SourceNotFound, SourceEmpty)) as refused:
        parse_source(what.format(tmp_path))
    assert "internal" not in str(refused.value)


def test_a_closed_folder_of_several_is_left_out_and_told(tmp_path: Path) -> None:
    write_tree(tmp_path, "closed/a.mp4", "open/b.mp4")
    with as_another_user(tmp_path / "closed"):
        source = parse_source(str(tmp_path))
    assert [Path(s.location).name for s in source.segments] == ["b.mp4"]
    assert "closed: left out: Permission denied" in source.remarks[0]


@contextmanager
def as_another_user(closed: Path) -> Iterator[None]:
    """A folder that may not be entered; root may, and so is somebody else meanwhile."""
    user = os.geteuid()
    parents = [closed.parent, *closed.parent.parents][:4]
    modes = [(path, stat.S_IMODE(path.stat().st_mode)) for path in (closed, *parents) if path.owner() == getpass.getuser()]
    for path, mode in modes:
        path.chmod(mode | 0o055)
    closed.chmod(0)
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)
        for path, mode in modes:
            path.chmod(mode)
