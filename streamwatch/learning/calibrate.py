"""Thresholds from normal footage that the model has not seen, without learning it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from streamwatch.clock import Clock, SystemClock
from streamwatch.config.schema import Config
from streamwatch.errors import NotEnoughFrames
from streamwatch.inference.engine import Engine
from streamwatch.inference.offline import score_frames
from streamwatch.learning.derive_calibration import calibration_of
from streamwatch.learning.feedback import journal_of
from streamwatch.learning.footage import Footage, Progress, expected_frames, readers_of, timeline
from streamwatch.learning.level_recorder import LevelRecorder
from streamwatch.learning.publish_model import publish_calibration
from streamwatch.model.artifact.serialization import load_model
from streamwatch.model.calibration.normal_levels import NormalLevelRecorder, NormalLevels
from streamwatch.model.calibration.prequential import GAP_S
from streamwatch.model.calibration.thresholds import Calibration, merge_zones
from streamwatch.model.regime import RegimeSorter
from streamwatch.scenes.calibration_policy import CalibrationPolicy, calibration_policy_of
from streamwatch.scenes.model_files import watched
from streamwatch.video.opener import Opener, PyAvOpener, stream_options
from streamwatch.video.sources import Source


def calibrate_on(
    footage: Footage,
    camera: str,
    engine: Engine,
    policy: CalibrationPolicy,
    *,
    opener: Opener,
    clock: Clock,
    sorter: RegimeSorter | None = None,
    on_frames: Callable[[int], None] | None = None,
) -> tuple[Calibration, NormalLevels | None]:
    """Score normal footage with the scene that ``engine`` watches as ``camera``, and calibrate on it.

    Args:
        sorter: take only the frames that it takes; None takes all.

    Returns:
        The calibration, and the levels before any suppression map that it can be derived anew from.

    Raises:
        SourceError: a source cannot be read; NotEnoughFrames: it holds no frame.
    """
    recorder, normal = LevelRecorder(policy.zones), NormalLevelRecorder(policy.zones)
    suppression = engine.suppression_of(camera)
    frames = timeline(footage, readers_of(footage, camera, opener, clock))
    taken = frames if sorter is None else (f for f in frames if sorter.takes(f.pixels, f.time_s))
    with closing(frames), closing(score_frames(engine, taken)) as scores:
        for scored in scores:
            recorder.add(scored)
            normal.add(scored.frame.time_s, scored.level_grid if suppression is None else scored.level_grid * suppression)
            if on_frames:
                on_frames(1)
    calibration = calibration_of(recorder.streams(), policy, recorder.lows)
    if calibration is None:
        raise NotEnoughFrames("the footage is too short to calibrate on")
    return calibration, normal.found()


def calibrate_camera(
    config: Config, camera: str, path: Path, engine: Engine, sources: tuple[Source, ...], *, add: bool, progress: Progress
) -> Calibration:
    """Calibrate one of the camera's models on the footage of its regime, and put it in the place of the one before.

    Args:
        add: to the footage that the model was calibrated on, instead of replacing it.
        progress: shows how far it is.

    Raises:
        SourceError: a source cannot be read; NotEnoughFrames: it shows too little of the model's regime.
        ModelFileError: the model cannot be read or written.
    """
    settings = config.settings(camera)
    model, provenance = load_model(path, with_moments=True)
    engine.watch(camera, watched(model, config, camera))
    opener = PyAvOpener(stream_options(settings))
    fps = None if settings.fps == "native" else settings.fps
    footage = Footage(sources, fps=fps, features=model.features, motion_step_s=model.motion_step_s)
    sorter = RegimeSorter(model.regime) if model.regime and settings.regimes == "auto" else None
    policy = calibration_policy_of(config, camera, model.grid)
    with progress(f"calibrate {path.stem}", expected_frames(footage, opener)) as advance:
        calibration, levels = calibrate_on(
            footage, camera, engine, policy, opener=opener, clock=SystemClock(), sorter=sorter, on_frames=advance
        )
    if add and model.calibration_:
        calibration = calibration.with_zones(merge_zones([model.calibration_, calibration]))
        levels = model.levels_.followed_by(levels, GAP_S) if model.levels_ and levels else None
    journal = journal_of(config, camera, path, engine)
    publish_calibration(model, path, provenance, journal, calibration=calibration, levels=levels)
    return calibration
