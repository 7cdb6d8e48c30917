"""A camera that is left alone for five days, and on the sixth something is there that never was.

Real footage is learned and then watched in a loop: scored for real, with noise in its pixels. The days are made of what that
measured, with weather (all values rise and fall together over hours) and with normal life that is rare: a few times a day
something brings one field beyond what it usually reads. Nobody labels anything. The clock is the simulation's, so that a day
passes in a minute; the calibration does its work every 30 s of it. In the middle the process ends without a word, and another
one goes on.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from scipy import stats

from benchmarks.results import Figure, record
from benchmarks.scenes_made_hard import Clip, planted, read_clip, thing_of, write_clip
from benchmarks.watched_site import WatchedSite
from streamwatch.clock import SystemClock
from streamwatch.config.loading import load_config
from streamwatch.config.schema import Config
from streamwatch.enums import EventType
from streamwatch.events.peaks import alarms
from streamwatch.inference.factory import engine_of
from streamwatch.inference.offline import score_frames
from streamwatch.learning.footage import Footage, readers_of, timeline
from streamwatch.model.calibration.thresholds import BUDGETS_TO_SUPPORT, DAY_S, END_TO_START
from streamwatch.model.scoring.levels import APPEARANCE, MOTION
from streamwatch.recalibration.task import EVERY_S
from streamwatch.records import Float64Array, ScoreStream, UInt8Array
from streamwatch.scenes.calibration_policy import CalibrationPolicy
from streamwatch.scenes.model_files import CameraScenes, load_scenes
from streamwatch.store.live_peaks import load_records
from streamwatch.store.sessions import open_database
from streamwatch.video.sources import parse_source
from streamwatch.video.streams.opener import PyAvOpener
from tools.footage import SHARED_DATA, run_command

DAYS, KILLED_AFTER = 5, 2.5
BLOCK_S = 600.0
VISITS_PER_DAY = 8.0
"""How often normal life brings a field beyond what it usually reads."""
PIXEL_NOISE = 3.0
VARIANTS, LEARNED_SHARE, CLIP_HZ = 4, 0.6, 10.0
READY_WITHIN_DAYS = 0.1
RULES = replace(CalibrationPolicy().event_policy(END_TO_START), start_threshold=1.0)
"""Of the default configuration; the level is how many times its threshold a field is at."""
Loop = Mapping[str, Float64Array]
"""By field, what was measured sample by sample."""


@dataclass
class Outcome:
    """What came of the days.

    Attributes:
        ready_after_s: seconds that were watched until ``model.ready``; None if it was not told.
        alarms_by_day: what was raised.
        lost_s: seconds of calibration that the kill cost.
        found: whether what was there on the last day was raised.
        starts: thresholds at the end, by field.
    """

    ready_after_s: float | None = None
    alarms_by_day: list[int] = field(default_factory=list)
    lost_s: float = 0.0
    found: bool = False
    starts: dict[str, float] = field(default_factory=dict)


def normal_days(loops: Sequence[Loop], rng: np.random.Generator, rate_hz: float) -> Iterator[Loop]:
    """Ten minutes after ten minutes of normal life, for as long as anybody asks."""
    samples, weather = int(BLOCK_S * rate_hz), 0.0
    longest = int(60 * rate_hz)
    highest = {name: max(float(loop[name].max()) for loop in loops) for name in loops[0]}
    while True:
        weather = 0.98 * weather + 0.2 * rng.normal()  # half a day's memory, deviation 1
        chosen = [loops[k] for k in rng.integers(0, len(loops), size=samples // len(loops[0][APPEARANCE]) + 1)]
        block = {name: np.concatenate([loop[name] for loop in chosen])[:samples] * np.exp(0.03 * weather) for name in highest}
        if rng.random() < VISITS_PER_DAY * BLOCK_S / DAY_S:
            name = (APPEARANCE, MOTION)[int(rng.integers(0, 2))]
            at, lasts = int(rng.integers(0, samples - longest)), int(rng.uniform(3, 30) * rate_hz)
            reached = highest[name] * (1 + rng.exponential(0.15))
            block[name][at : at + lasts] = np.maximum(block[name][at : at + lasts], reached)
        yield block


@dataclass
class Guard:
    """The state machine at the thresholds in force; derived again only when others were applied, because that takes long."""

    site: WatchedSite
    applied: int = -1
    starts: Mapping[str, float] = field(default_factory=dict)

    def raised(self, block: Loop, rate_hz: float) -> int:
        """Alarms of a block, at the thresholds at its beginning."""
        if self.applied != self.site.applied:
            self.applied, self.starts = self.site.applied, self.site.starts()
        level = np.maximum.reduce([block[name] / start for name, start in self.starts.items()])
        return len(alarms(ScoreStream(np.arange(len(level)) / rate_hz, level), RULES))


def live_through(
    site: WatchedSite, days: Iterator[Loop], thing: Callable[[Loop], Loop], *, rate_hz: float, every_s: float
) -> Outcome:
    """Five days, a kill, and a sixth day with a thing."""
    outcome, began_s, guard = Outcome(alarms_by_day=[0] * DAYS), site.clock.now_s, Guard(site)
    for number in range(int(DAYS * DAY_S / BLOCK_S)):
        block = next(days)
        outcome.alarms_by_day[int(number * BLOCK_S // DAY_S)] += guard.raised(block, rate_hz)
        site.watch(block, rate_hz=rate_hz, every_s=every_s)
        if outcome.ready_after_s is None and any(notice.type == EventType.MODEL_READY for notice in site.notices):
            outcome.ready_after_s = site.notices[0].at_wall_s - began_s
        if number == int(KILLED_AFTER * DAY_S / BLOCK_S):
            rest = {name: values[: int(0.9 * every_s * rate_hz)] for name, values in next(days).items()}
            site.watch(rest, rate_hz=rate_hz, every_s=every_s)  # what the process had not stored when it died
            site.start()
            stored_s = load_records(site.database, ["cam"])["cam", None].watched[0].exposure_s
            outcome.lost_s = site.clock.now_s - began_s - stored_s
    outcome.found = guard.raised(thing(next(days)), rate_hz) > 0
    outcome.starts = site.starts()
    return outcome


def measured(config: Config, scenes: CameraScenes, source: Path) -> Loop:
    """A recording, scored: the highest of each field, frame by frame."""
    engine, model = engine_of(config), scenes.first.model
    engine.watch("cam", scenes.first)
    fps = config.settings("cam").fps
    footage = Footage(
        (parse_source(str(source)),),
        fps=None if fps == "native" else fps,
        features=model.features,
        motion_step_s=model.motion_step_s,
    )
    highest: dict[str, list[float]] = {APPEARANCE: [], MOTION: []}
    frames = timeline(footage, readers_of(footage, "cam", PyAvOpener(), SystemClock()))
    for scored in score_frames(engine, frames):
        found = {name: float(values.max()) for name, values in scored.measures}
        for name, values in highest.items():
            values.append(found.get(name, 0.0))
    return {name: np.array(values) for name, values in highest.items()}


def with_noise(clip: Clip, seed: int) -> list[UInt8Array]:
    """The clip as a camera with more noise would show it."""
    rng = np.random.default_rng(seed)
    return [np.clip(picture + rng.normal(0, PIXEL_NOISE, picture.shape), 0, 255).astype(np.uint8) for picture in clip]


def learned(folder: Path, clip: Clip, fps: float) -> tuple[Config, CameraScenes]:
    """A camera that learned the first part of a clip, as a new user sets it up."""
    normal = write_clip(folder / "normal.mp4", clip[: int(LEARNED_SHARE * len(clip))], CLIP_HZ)
    document = {
        "version": 1,
        "data_dir": str(folder),
        "backbone": {"weights": "untrained"},
        "cameras": {"cam": {"source": str(normal), "normal": [str(normal)], "fps": fps, "regimes": "off"}},
    }
    (folder / "site.yaml").write_text(json.dumps(document))
    run_command("fit", "-c", folder / "site.yaml", "cam")
    config = load_config(folder / "site.yaml")
    return config, load_scenes(config, ["cam"])["cam"]


def run(folder: Path, footage: Path, thing_from: Path, fps: float) -> Outcome:
    """Learn, score the loops and the planted thing, and live through the days."""
    clip = read_clip(footage)[0]
    config, scenes = learned(folder, clip, fps)
    loops = [
        measured(config, scenes, write_clip(folder / f"{seed}.mp4", with_noise(clip, seed), CLIP_HZ))
        for seed in range(VARIANTS)
    ]
    thing = planted(clip, thing_of(read_clip(thing_from)[0], clip[0].shape[0] // 4, 1), 1, crosses=False)
    shown = measured(config, scenes, write_clip(folder / "thing.mp4", thing, CLIP_HZ))

    def with_thing(block: Loop) -> Loop:
        return {name: np.concatenate([block[name][: len(block[name]) // 2], shown[name]]) for name in shown}

    database = open_database(None, folder)
    site = WatchedSite(folder, database, {"fps": fps, "regimes": "off"}, scenes)
    outcome = live_through(site, normal_days(loops, np.random.default_rng(0), fps), with_thing, rate_hz=fps, every_s=EVERY_S)
    database.dispose()
    return outcome


def main() -> int:
    """Run, print, write ``benchmarks/calibration_days.json``; whether what theory says came true."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--footage", type=Path, default=SHARED_DATA / "footage/front_learn.mp4")
    parser.add_argument("--thing-from", type=Path, default=SHARED_DATA / "footage/bag_learn.mp4")
    parser.add_argument("--fps", type=float, default=5.0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        outcome = run(Path(name), arguments.footage, arguments.thing_from, arguments.fps)
    print(outcome)
    low, high = allowed_alarms()
    total, ready_days = sum(outcome.alarms_by_day), (outcome.ready_after_s or float("inf")) / DAY_S
    by_day, theory = ", ".join(map(str, outcome.alarms_by_day)), f"{BUDGETS_TO_SUPPORT:g} days of footage and watching"
    record(
        "calibration_days",
        f"A camera left alone for {DAYS} days with a budget of 1/day ({arguments.footage.name} in a loop, simulated clock)",
        [
            Figure("its budget was supported after", round(ready_days, 3), "days", theory),
            Figure("alarms of normal life", f"{total} ({by_day} by day)", "", f"{low} to {high}"),
            Figure("calibration that a process cost that ended without a word", round(outcome.lost_s, 1), "s", "at most 60 s"),
            Figure("a thing that was never there, on day 6", "found" if outcome.found else "missed", "", "found"),
        ],
    )  # fmt: skip
    in_time = abs(ready_days - BUDGETS_TO_SUPPORT) < READY_WITHIN_DAYS
    return 0 if in_time and total <= high and outcome.lost_s <= 60 and outcome.found else 1


def allowed_alarms() -> tuple[int, int]:
    """How many alarms a budget of one a day may come to in the days: the 95 % interval of a Poisson count."""
    return int(stats.poisson.ppf(0.025, DAYS)), int(stats.poisson.ppf(0.975, DAYS))


if __name__ == "__main__":
    raise SystemExit(main())
