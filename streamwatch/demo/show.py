"""The demo: render, learn and watch, through the very same path as `fit` and `run`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from streamwatch.clock import Clock
from streamwatch.config.schema import Config
from streamwatch.daemon.assembly import Surroundings
from streamwatch.daemon.service import RunResult, Service
from streamwatch.demo.comparison import Comparison, compare_with_planted
from streamwatch.demo.rendering import NORMAL_S, PLANTED, WATCHED_S, anomalous_actors, render, write_video
from streamwatch.detection.publisher import Subscribers
from streamwatch.enums import EventType
from streamwatch.inference.factory import engine_of
from streamwatch.learning.feedback import journal_of
from streamwatch.learning.fit import learn_scene
from streamwatch.learning.footage import Footage
from streamwatch.learning.publish_model import publish_model
from streamwatch.records import SPEED_GRID, Event, EventChange
from streamwatch.scenes.calibration_policy import calibration_policy_of
from streamwatch.video.sources import parse_source
from streamwatch.video.streams.opener import PyAvOpener

CAMERA = "square"
_NORMAL_SEED, _WATCHED_SEED, _ANOTHER_SEED = 11, 23, 37


@dataclass(frozen=True)
class Show:
    """What the demo came to."""

    config: Config
    events: tuple[Event, ...]
    comparison: Comparison
    result: RunResult


def demo_config(folder: Path, *, device: str) -> Config:
    """The configuration that the demo runs on."""
    return Config.model_validate(
        {
            "version": 1,
            "data_dir": folder,
            "device": device,
            "backbone": {"weights": "builtin"},
            "defaults": {"fps": "native", "cooldown": "1s", "end_delay": "1s", "min_duration": "800ms"},
            "cameras": {CAMERA: {"source": str(folder / "today.mp4"), "normal": [str(folder / "normal.mp4")]}},
            "metrics": {"listen": None},
            "web": {"listen": None},
        }
    )


def render_videos(config: Config) -> None:
    """Render the demo's two videos into its folder."""
    config.data_dir.mkdir(parents=True, exist_ok=True)
    write_video(config.data_dir / "normal.mp4", render(NORMAL_S, _NORMAL_SEED))
    write_video(config.data_dir / "today.mp4", render(WATCHED_S, _WATCHED_SEED, anomalous_actors()))


def render_another(folder: Path) -> None:
    """Render another normal day, which the demo has no use for, to calibrate on."""
    write_video(folder / "another.mp4", render(WATCHED_S, _ANOTHER_SEED))


def learn(config: Config, clock: Clock, on_frames: Callable[[int], None]) -> int:
    """Learn the normal video; the number of frames."""
    engine = engine_of(config)
    settings = config.settings(CAMERA)
    sources = tuple(parse_source(text) for text in config.cameras[CAMERA].normal)
    footage = Footage(sources, features=settings.features, motion_step_s=settings.motion_step)
    path, policy = config.model_path(CAMERA), calibration_policy_of(config, CAMERA, (SPEED_GRID, SPEED_GRID))
    learned = learn_scene(footage, engine, opener=PyAvOpener(), clock=clock, policy=policy, on_frames=on_frames)
    publish_model(learned.model, path, learned.provenance, journal_of(config, CAMERA, path, engine))
    return learned.model.frames


def watch(config: Config, on_change: Callable[[EventChange, Path | None], None]) -> Show:
    """Run the daemon on the second video to its end, and compare its events with what was planted."""
    events: list[Event] = []

    def collect(change: EventChange, snapshot: Path | None) -> None:
        if change.type == EventType.ANOMALY_ENDED:
            events.append(change.event)
        on_change(change, snapshot)

    result = Service(config, until_eof=True, surroundings=Surroundings(Subscribers((collect,)))).run()
    return Show(config, tuple(events), compare_with_planted(events, PLANTED), result)
