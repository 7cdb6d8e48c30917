"""Which frames are kept for the nightly update, and that a crash leaves what was kept readable."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from streamwatch.evidence import normal_frames
from streamwatch.evidence.normal_frames import (
    QUARANTINE_S,
    SPACING_S,
    NormalFrameSelector,
    append_normal_frame,
    frames_path,
    load_normal,
)
from streamwatch.records import Frame
from streamwatch.scores import FrameScore
from tests.scores import frame_score

GRID = np.zeros((64, 64), np.float32)


def scored(wall_s: float, camera: str = "cam") -> FrameScore:
    pixels = np.full((256, 256, 3), int(wall_s) % 251, np.uint8)
    return frame_score(Frame(camera, 0, wall_s, wall_s, wall_s, pixels), GRID)


class Day:
    """A camera that is scored every 10 s."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir, self.wall_s = data_dir, 1000.0
        self.selector = NormalFrameSelector(lambda camera: camera == "cam")

    def goes_by(self, seconds: float, *, quiet: bool = True, normal: bool = True) -> None:
        for _ in range(round(seconds / 10)):
            frame = self.selector.observe(scored(self.wall_s), quiet=quiet, normal=normal)
            if frame is not None:
                append_normal_frame(self.data_dir / "normal", frame)
            self.wall_s += 10

    @property
    def kept_s(self) -> list[float]:
        kept = load_normal(frames_path(self.data_dir, "cam"))
        return [] if kept is None else [wall_s - 1000.0 for wall_s in kept.wall_s]


def test_a_quiet_day_gives_a_frame_every_three_minutes(tmp_path: Path) -> None:
    day = Day(tmp_path)
    day.goes_by(3600)
    assert day.kept_s == [SPACING_S * n for n in range(20)]
    kept = load_normal(frames_path(tmp_path, "cam"))
    assert kept
    assert [int(p[0, 0, 0]) for p in kept.pixels] == [int(w) % 251 for w in kept.wall_s]
    assert np.isnan(kept.speed).all()


def test_what_leads_up_to_an_event_and_what_follows_it_is_left_out(tmp_path: Path) -> None:
    day = Day(tmp_path)
    day.goes_by(SPACING_S + 30)  # a frame at 180 s waits
    day.goes_by(100, quiet=False)
    day.goes_by(3600)
    assert day.kept_s[0] == 0.0
    assert day.kept_s[1] >= SPACING_S + 30 + 100 + QUARANTINE_S - 10
    assert SPACING_S not in day.kept_s


def test_a_frame_over_the_end_threshold_is_not_taken_and_the_next_one_is(tmp_path: Path) -> None:
    day = Day(tmp_path)
    day.goes_by(50, normal=False)
    day.goes_by(100)
    assert day.kept_s == [50.0]


def test_other_cameras_are_left_alone(tmp_path: Path) -> None:
    selector = NormalFrameSelector(lambda _: False)
    for wall_s in (0.0, 100.0, 200.0):
        assert selector.observe(scored(wall_s), quiet=True, normal=True) is None


def test_a_record_that_a_crash_cut_short_is_written_over(tmp_path: Path) -> None:
    day = Day(tmp_path)
    day.goes_by(300)
    path = frames_path(tmp_path, "cam")
    whole = path.stat().st_size
    with path.open("ab") as file:
        file.write(b"half a record")
    assert day.kept_s == [0.0, 180.0]
    day.goes_by(300)
    assert day.kept_s == [0.0, 180.0, 360.0, 540.0][: len(day.kept_s)]
    assert path.stat().st_size % (whole // 2) == 0


def test_a_day_has_an_end(tmp_path: Path) -> None:
    day = Day(tmp_path)
    day.goes_by((normal_frames.MAX_FRAMES + 5) * SPACING_S)
    assert len(day.kept_s) == normal_frames.MAX_FRAMES
