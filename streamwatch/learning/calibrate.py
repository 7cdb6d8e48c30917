"""Thresholds from normal footage that the model has not seen, without learning it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import closing
from pathlib import Path

from streamwatch.clock import SystemClock
from streamwatch.config.schema import Config
from streamwatch.errors import NotEnoughFrames
from streamwatch.inference.engine import Engine
from streamwatch.inference.offline import score_frames
from streamwatch.learning.derive_calibration import calibration_of
from streamwatch.learning.feedback import journal_of
from streamwatch.learning.footage import Footage, Progress, expected_frames, readers_of, timeline
from streamwatch.learning.level_recorder import FieldLevelRecorder, LevelRecorder
from streamwatch.learning.publish_model import publish_calibration
from streamwatch.model.artifact.serialization import load_model
from streamwatch.model.calibration.normal_levels import NormalLevels
from streamwatch.model.calibration.prequential import GAP_S
from streamwatch.model.calibration.thresholds import Calibration, merge_zones
from streamwatch.model.regime import RegimeSorter
from streamwatch.model.scene import SceneModel
from streamwatch.records import Frame
from streamwatch.scenes.calibration_policy import CalibrationPolicy, calibration_policy_of
from streamwatch.scenes.model_files import watched
from streamwatch.scores import FrameScore
from streamwatch.video.sources import Source
from streamwatch.video.streams.opener import PyAvOpener, stream_options


def calibrate_on(
    scores: Iterable[FrameScore], model: SceneModel, policy: CalibrationPolicy
) -> tuple[Calibration, dict[str, NormalLevels] | None]:
    """Calibrate on scored frames of normal footage.

    Args:
        model: what scored them.

    Returns:
        The calibration, and by field the values before any suppression map that it can be derived anew from.

    Raises:
        NotEnoughFrames: there are none.
    """
    recorder = LevelRecorder(policy.zones, model.judged_fields)
    normal = FieldLevelRecorder(policy.zones, model.judged_fields, model.suppression_)
    for scored in scores:
        recorder.add(scored)
        normal.add(scored)
    calibration = calibration_of(recorder.field_streams(), policy, dims=model.identity.dims, lows=recorder.lows)
    if calibration is None:
        raise NotEnoughFrames("the footage is too short to calibrate on")
    return calibration, normal.found()


def _scored(
    frames: Generator[Frame], engine: Engine, sorter: RegimeSorter | None, advance: Callable[[int], None]
) -> Generator[FrameScore]:
    """Frames, or those of a regime, scored."""
    taken = frames if sorter is None else (f for f in frames if sorter.takes(f.pixels, f.time_s))
    with closing(frames), closing(score_frames(engine, taken)) as scores:
        for scored in scores:
            yield scored
            advance(1)


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
    frames = timeline(footage, readers_of(footage, camera, opener, SystemClock()))
    expected = expected_frames(footage, opener)
    with (
        progress(f"calibrate {path.stem}", expected) as advance,
        closing(_scored(frames, engine, sorter, advance)) as scores,
    ):
        calibration, levels = calibrate_on(scores, model, policy)
    if add and model.calibration_:
        calibration = calibration.with_zones(merge_zones([model.calibration_, calibration]))
        levels = _followed_by(model.levels_, levels)
    journal = journal_of(config, camera, path, engine)
    now_s = SystemClock().wall_s()
    publish_calibration(model, path, provenance, journal, calibration=calibration, levels=levels, at_wall_s=now_s)
    return calibration


def _followed_by(
    known: Mapping[str, NormalLevels] | None, later: Mapping[str, NormalLevels] | None
) -> dict[str, NormalLevels] | None:
    """Both, field by field; None if a field's are not known, or not of the same blocks."""
    if not known or not later or set(known) != set(later):
        return None
    joined = {field: known[field].followed_by(later[field], GAP_S) for field in known}
    whole = {field: levels for field, levels in joined.items() if levels is not None}
    return whole if len(whole) == len(joined) else None
