"""One time line of many sources, and how a stretch of it is named and left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamwatch.clock import SystemClock
from streamwatch.errors import UsageError
from streamwatch.learning.footage import SOURCE_GAP_S, Footage, readers_of, timeline
from streamwatch.learning.segment_index import Exclusion, SegmentIndex, SourcePosition, parse_exclusion, require_known
from streamwatch.video.sources import parse_source
from streamwatch.video.streams.opener import PyAvOpener
from tests.conftest import encode, moving_square


def test_a_moment_of_the_time_line_is_named_by_its_file(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        encode(tmp_path / name, moving_square(30))
    footage = Footage((parse_source(str(tmp_path / "*.mp4")), parse_source(str(tmp_path / "a.mp4"))))
    index = SegmentIndex()
    frames = list(timeline(footage, readers_of(footage, "cam", PyAvOpener(), SystemClock()), index))
    positions = [index.position_of(frame.time_s) for frame in frames]
    assert [Path(position.label).name for position in positions[::30]] == ["a.mp4", "b.mp4", "a.mp4"]
    assert [position.time_s for position in positions[30:60]] == pytest.approx([n / 10 for n in range(30)])
    assert frames[30].time_s - frames[29].time_s >= SOURCE_GAP_S


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("190s-220s", Exclusion("", 190, 220)),
        ("monday.mp4@3m-3.5m", Exclusion("monday.mp4", 180, 210)),
        ("cam-1/mon-day.mp4@0s-1h", Exclusion("cam-1/mon-day.mp4", 0, 3600)),
    ],
)
def test_exclusions_are_read_and_written(text: str, meant: Exclusion) -> None:
    assert parse_exclusion(text) == meant
    assert parse_exclusion(str(meant)) == meant


@pytest.mark.parametrize("text", ["", "3-4", "5s", "9s-3s", "a.mp4@x-3s", "a.mp4@"])
def test_an_exclusion_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="cannot exclude"):
        parse_exclusion(text)


def test_an_exclusion_means_one_file(tmp_path: Path) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        encode(tmp_path / folder / "a.mp4", moving_square(2))
    sources = [parse_source(str(tmp_path / folder / "a.mp4")) for folder in ("x", "y")]
    require_known([parse_exclusion("x/a.mp4@1s-2s")], sources)
    require_known([parse_exclusion("1s-2s")], sources[:1])
    for text in ("1s-2s", "a.mp4@1s-2s", "b.mp4@1s-2s"):
        with pytest.raises(UsageError, match="it means"):
            require_known([parse_exclusion(text)], sources)


def test_a_stretch_is_named_as_briefly_as_it_can_be() -> None:
    assert str(SegmentIndex([(0.0, "/x/a.mp4")]).exclusion_of(12.34, 14)) == "11.3s-15s"
    two = SegmentIndex([(0.0, "/x/a.mp4"), (100.0, "/x/b.mp4")])
    assert str(two.exclusion_of(100.5, 102)) == "b.mp4@0s-3s"
    alike = SegmentIndex([(0.0, "/x/a.mp4"), (100.0, "/y/a.mp4")])
    assert alike.exclusion_of(105, 106).name == "/y/a.mp4"
    assert alike.position_of(105) == SourcePosition("/y/a.mp4", 5.0)
