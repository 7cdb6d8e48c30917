"""What a source's name means."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamwatch.errors import SourceEmpty, SourceNotFound
from streamwatch.masking import mask_credentials
from streamwatch.video.sources import parse_source


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_a_file_is_one_video(tmp_path: Path) -> None:
    source = parse_source(str(touch(tmp_path / "a.mp4")))
    assert [(s.kind, s.location) for s in source.segments] == [("video", str(tmp_path / "a.mp4"))]
    assert not source.live


def test_a_folder_of_images_is_one_segment_in_name_order(tmp_path: Path) -> None:
    for name in ("002.jpg", "001.jpg", "010.png", "notes.txt"):
        touch(tmp_path / name)
    (segment,) = parse_source(str(tmp_path), frame_rate_hz=24).segments
    assert [p.name for p in segment.images] == ["001.jpg", "002.jpg", "010.png"]
    assert segment.frame_rate_hz == 24


def test_a_glob_of_videos_and_a_glob_of_folders_keep_their_order(tmp_path: Path) -> None:
    for name in ("b.avi", "a.avi"):
        touch(tmp_path / name)
    for name in ("clip2/1.jpg", "clip1/1.jpg"):
        touch(tmp_path / name)
    assert [Path(s.location).name for s in parse_source(f"{tmp_path}/*.avi").segments] == ["a.avi", "b.avi"]
    assert [Path(s.location).name for s in parse_source(f"{tmp_path}/clip*").segments] == ["clip1", "clip2"]


def test_a_folder_of_clip_folders(tmp_path: Path) -> None:
    for name in ("clip2/1.jpg", "clip1/1.jpg"):
        touch(tmp_path / name)
    assert [Path(s.location).name for s in parse_source(str(tmp_path)).segments] == ["clip1", "clip2"]


def test_a_url_is_live_and_shows_no_credentials() -> None:
    source = parse_source("rtsp://viewer:s3cret@10.0.0.5/stream2")
    assert source.live
    assert "s3cret" not in repr(source)
    assert source.label == "rtsp://***@10.0.0.5/stream2"
    assert source.segments[0].location.endswith("s3cret@10.0.0.5/stream2")


def test_masking_leaves_other_text_alone() -> None:
    assert mask_credentials("open rtsp://a:b@h/x or mail me@host") == "open rtsp://***@h/x or mail me@host"
    assert mask_credentials("rtsp://a:b@c@h/x: gone") == "rtsp://***@h/x: gone"
    assert mask_credentials("rtsp://h/x?user=a&password=b: gone, really?") == "rtsp://h/x?***: gone, really?"


@pytest.mark.parametrize("text", ["nothing.mp4", "none/*.avi", "/dev/video99"])
def test_nothing_there(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceNotFound):
        parse_source(text)


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(SourceEmpty):
        parse_source(str(tmp_path))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://admin:pa/ss@w@10.0.0.1:554/cam/1: gone", "rtsp://***@10.0.0.1:554/cam/1: gone"),
        (
            "https://hooks.example.com/x/T0/B0/abcd1234abcd1234abcd: 404",
            "https://hooks.example.com/x/T0/B0/***: 404",
        ),
        ("https://api.example.org/bot12345:ABC-DEF1234ghIkl/send", "https://api.example.org/***/send"),
        ("rtsp://h:554/user=admin&password=s3cret&channel=1.sdp", "rtsp://h:554/user=***&password=***&channel=1.sdp"),
        ("rtsp://h/7ElXsDpYLEvqBnbK", "rtsp://h/***"),
        ("rtsp://h/Streaming/Channels/102", "rtsp://h/Streaming/Channels/102"),
        ("file:///media/video-2024-01-02-morning.mp4", "file:///media/video-2024-01-02-morning.mp4"),
    ],
)
def test_secrets_are_masked_wherever_a_url_holds_them(text: str, shown: str) -> None:
    assert mask_credentials(text) == shown
