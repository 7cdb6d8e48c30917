"""`streamwatch fit`: learn a scene from normal footage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import click

from streamwatch.cli.options import (
    BackboneChoice,
    Duration,
    backbone_options,
    config_option,
    device_option,
    features_option,
    frame_rate_option,
    note_if_untrained,
    precision_option,
    require_camera,
    warn_of_inert_keys,
)
from streamwatch.cli.outliers import say_outliers
from streamwatch.cli.progress import frame_progress
from streamwatch.cli.statements import say_thresholds
from streamwatch.clock import SystemClock
from streamwatch.config.loading import load_config
from streamwatch.config.models import Config
from streamwatch.errors import NotEnoughFrames, UsageError
from streamwatch.model.artifact import keep_previous, load_model, read_metadata, save_model
from streamwatch.model.fusion import Features
from streamwatch.model.identity import BackboneSpec
from streamwatch.model.regime import RegimeSorter
from streamwatch.model.scene import SceneModel
from streamwatch.records import SPEED_GRID
from streamwatch.runtime.calibrating import AlarmTerms, terms_of
from streamwatch.runtime.engine import Engine
from streamwatch.runtime.footage import Exclusion, Footage, expected_frames, parse_exclusion, require_known
from streamwatch.runtime.judging import budgets_of
from streamwatch.runtime.kept_inputs import inputs_folder
from streamwatch.runtime.learning import Learned, Taking, learn_scene
from streamwatch.runtime.lessons import LessonBook
from streamwatch.runtime.models import build_engine, path_for, spec_of
from streamwatch.video.opener import PyAvOpener, StreamOptions
from streamwatch.video.sources import parse_source

GRID = (SPEED_GRID, SPEED_GRID)
FEWEST_OF_REGIME = 200
"""A regime of fewer frames gets no model: some hundreds make a good one."""


@dataclass(frozen=True)
class _Task:
    """One camera, or model file, to learn.

    Attributes:
        by_regime: with a model each for day, infrared and dark footage.
        excluded: stretches of the footage that are left out.
        keep_in: where the footage's inputs are kept; None keeps none.
        private: parts of its pictures must not be stored, and in a model's inputs nothing is blacked out.
    """

    label: str
    path: Path
    footage: Footage
    stream: StreamOptions
    by_regime: bool = False
    excluded: tuple[Exclusion, ...] = ()
    keep_in: Path | None = None
    private: bool = False
    terms: AlarmTerms = field(default_factory=AlarmTerms)
    budgets_per_day: Mapping[str, float] = field(default_factory=lambda: {"": 1.0})


@dataclass(frozen=True)
class _Keeping:
    """What of the footage is learned, and whether its inputs are kept; None is as the task has it."""

    excluded: tuple[Exclusion, ...]
    keep_inputs: bool | None

    def applied(self, task: _Task) -> _Task:
        """The task with it; raises as ``require_known``."""
        require_known(self.excluded, task.footage.sources)
        if task.private and self.keep_inputs:
            raise UsageError(
                f"camera {task.label} has `privacy` polygons: its inputs are not kept", hint="leave out --keep-inputs"
            )
        if self.keep_inputs is None:
            return replace(task, excluded=self.excluded)
        keep_in = (task.keep_in or inputs_folder(task.path)) if self.keep_inputs else None
        return replace(task, excluded=self.excluded, keep_in=keep_in)


@click.command("fit")
@click.argument("arguments", nargs=-1, metavar="[CAMERA] [SOURCE]...")
@config_option
@click.option("--model", "model_path", type=click.Path(path_type=Path), help="Write this model file; no configuration.")
@click.option("--all", "all_cameras", is_flag=True, help="With -c: learn every enabled camera from its `normal`.")
@click.option("--live", "live_s", type=Duration(), help="Learn from the camera itself for this long, like 20m.")
@click.option("--update", is_flag=True, help="Add to the model that is there instead of starting anew.")
@click.option("--exclude", "exclude", multiple=True, metavar="RANGE", help="Leave out, like 190s-220s or monday.mp4@3m-3.5m.")
@click.option(
    "--keep-inputs/--no-keep-inputs",
    default=None,
    help="Keep the footage as the model sees it, up to 2 GB, to leave out parts quickly. [default: with -c]",
)
@features_option
@backbone_options
@device_option
@precision_option
@frame_rate_option
def command(
    arguments: tuple[str, ...],
    config_path: Path | None,
    model_path: Path | None,
    all_cameras: bool,
    live_s: float | None,
    update: bool,
    exclude: tuple[str, ...],
    keep_inputs: bool | None,
    features: Features | None,
    backbone: str | None,
    weights: str | None,
    dims: int | None,
    seed: int | None,
    device: str,
    precision: str,
    frame_rate: float,
) -> None:
    r"""Learn what a scene normally looks like.

    \b
    streamwatch fit -c CONFIG CAMERA [SOURCE...]    a camera of a configuration, at its fps
    streamwatch fit --model OUT.safetensors SOURCE...    a model file, from every frame

    SOURCE is a video file, a folder of images, a glob, or with --live a camera.
    """
    choice = BackboneChoice(backbone, weights, dims, seed)
    keeping = _Keeping(tuple(map(parse_exclusion, exclude)), keep_inputs)
    if (config_path is None) == (model_path is None):
        raise UsageError("give either -c CONFIG or --model OUT", hint="see `streamwatch fit --help`")
    if model_path is not None:
        if all_cameras:
            raise UsageError("--all needs -c CONFIG")
        task = keeping.applied(_model_task(model_path, arguments, live_s, frame_rate, features or "appearance"))
        spec = _spec(choice, model_path if update else None)
        _learn_all([task], build_engine(spec, device=device, precision=precision), update)
        return
    if features is not None:
        raise UsageError("--features cannot be given with -c", hint="set `features` in the configuration")
    if config_path is not None:
        _fit_configured(load_config(config_path), arguments, choice, all_cameras, live_s, update, keeping)


def _fit_configured(
    config: Config,
    arguments: tuple[str, ...],
    choice: BackboneChoice,
    all_cameras: bool,
    live_s: float | None,
    update: bool,
    keeping: _Keeping,
) -> None:
    if choice.given:
        raise UsageError(f"{', '.join(choice.given)} cannot be given with -c", hint="set `backbone` in the configuration")
    warn_of_inert_keys(config)
    if all_cameras:
        cameras = [name for name, camera in config.cameras.items() if camera.enabled]
        tasks = [_camera_task(config, name, arguments, live_s) for name in cameras]
    else:
        tasks = [_camera_task(config, _camera_name(config, arguments), arguments[1:], live_s)]
    tasks = [keeping.applied(task) for task in tasks]
    engine = build_engine(spec_of(config.backbone), device=config.device, precision=config.precision)
    _learn_all(tasks, engine, update)


def _camera_name(config: Config, arguments: tuple[str, ...]) -> str:
    if not arguments:
        raise UsageError("which camera?", hint=f"name one of {', '.join(config.cameras)}, or give --all")
    require_camera(config, arguments[0])
    return arguments[0]


def _camera_task(config: Config, name: str, sources: tuple[str, ...], live_s: float | None) -> _Task:
    settings, camera = config.settings(name), config.cameras[name]
    texts = sources or ((camera.source.get_secret_value(),) if live_s else camera.normal)
    if not texts:
        raise UsageError(f"camera {name}: no footage to learn from", hint="give a SOURCE, set `normal`, or use --live 20m")
    footage = replace(
        _footage(texts, live_s, settings.frame_rate),
        fps=None if settings.fps == "native" else settings.fps,
        features=settings.features,
        motion_step_s=settings.motion_step,
    )
    stream = StreamOptions(settings.transport, settings.open_timeout, settings.read_timeout)
    terms, budgets, by_regime = terms_of(config, name, GRID), budgets_of(config, name), settings.regimes == "auto"
    path, private = config.model_path(name), bool(camera.privacy)
    keep_in = None if private else inputs_folder(path)
    return _Task(name, path, footage, stream, by_regime, (), keep_in, private, terms, budgets)


def _model_task(path: Path, sources: tuple[str, ...], live_s: float | None, frame_rate: float, features: Features) -> _Task:
    if not sources:
        raise UsageError("no footage to learn from", hint="give at least one SOURCE")
    footage = replace(_footage(sources, live_s, frame_rate), features=features)
    return _Task(path.stem, path, footage, StreamOptions())


def _footage(texts: tuple[str, ...], live_s: float | None, frame_rate: float) -> Footage:
    sources = tuple(parse_source(text, frame_rate_hz=frame_rate) for text in texts)
    if any(source.live for source in sources) and live_s is None:
        raise UsageError("a live source never ends", hint="say how long to learn with --live 20m")
    return Footage(sources, limit_s=live_s)


def _spec(choice: BackboneChoice, existing: Path | None) -> BackboneSpec:
    """The backbone asked for; for an update, the one of the model that is there."""
    base = BackboneSpec()
    if existing is not None:
        identity = load_model(existing)[0].identity
        base = BackboneSpec(identity.backbone, identity.weights, identity.dims, identity.seed)
    return BackboneSpec(
        choice.name or base.name,
        choice.weights or base.weights,
        choice.dims or base.dims,
        base.seed if choice.seed is None else choice.seed,
    )


def _learn_all(tasks: list[_Task], engine: Engine, update: bool) -> None:
    note_if_untrained(engine.identity.weights)
    for task in tasks:
        if not task.by_regime:
            _keep(task, engine, _learn(task, engine, update, None))
            continue
        first, sorter = _learn_first_regime(task, engine, update)
        _keep(task, engine, first)
        for regime, frames in sorter.others().items():
            if frames < FEWEST_OF_REGIME or task.footage.limit_s is not None:
                click.echo(
                    f"note: {frames} frames of a {regime} picture left out: learn them from a longer recording", err=True
                )
            else:
                _keep(task, engine, _learn(task, engine, update, RegimeSorter(regime), frames))


def _learn_first_regime(task: _Task, engine: Engine, update: bool) -> tuple[Learned, RegimeSorter]:
    """The model of the regime that the footage begins with, or that a model to update is of; of another if that has too little.

    Raises: as ``learn_scene``.
    """
    sorter = RegimeSorter(_regime_at(task.path) if update else None)
    try:
        learned = _learn(task, engine, update, sorter)
        if update or not sorter.others() or _sound(learned, sorter):
            return learned, sorter
    except NotEnoughFrames:
        if update or not sorter.others():
            raise
    again = RegimeSorter(sorter.usual)
    return _learn(task, engine, update, again, sorter.counts[str(sorter.usual)]), again


def _sound(learned: Learned, sorter: RegimeSorter) -> bool:
    """Whether the regime was more than a beginning, and its rehearsal, planned for all of the footage, came to something."""
    calibration = learned.model.calibration_
    large = sorter.wanted == sorter.usual or sorter.counts[str(sorter.wanted)] >= FEWEST_OF_REGIME
    return large and calibration is not None and bool(calibration.zones)


def _regime_at(path: Path) -> str | None:
    regime: str | None = read_metadata(path).get("regime")
    return regime


def _learn(task: _Task, engine: Engine, update: bool, sorter: RegimeSorter | None, expected: int | None = None) -> Learned:
    """Learn one model; raises as ``learn_scene``."""
    opener = PyAvOpener(task.stream)
    base = _base(task, engine, sorter) if update else None
    seen = expected or expected_frames(task.footage, opener, task.excluded)
    with frame_progress(f"fit {task.label}", seen) as advance:
        return learn_scene(
            task.footage,
            engine,
            opener=opener,
            clock=SystemClock(),
            base=base,
            terms=task.terms,
            taking=Taking(sorter, task.excluded, expected, task.keep_in),
            on_frames=advance,
        )


def _keep(task: _Task, engine: Engine, learned: Learned) -> None:
    """Write a model where the regime of what it saw belongs, and say what came of it."""
    path = path_for(task.path, learned.model.regime)
    book = LessonBook(path, lambda: engine, lambda _: task.terms)
    lessons = book.lessons()
    keep_previous(path)
    save_model(learned.model, path, learned.provenance)
    book.rebase(lessons)
    _report(task, path, learned)
    if lessons:
        click.echo(f"   {len(lessons)} events that were called normal are taught to it again")
    say_outliers(task.label, path, learned, engine)


def _base(task: _Task, engine: Engine, sorter: RegimeSorter | None) -> SceneModel | None:
    """The model to update; None for a regime that has none yet."""
    path = path_for(task.path, sorter.wanted) if sorter else task.path
    if path != task.path and not path.is_file():
        return None
    return load_model(LessonBook(path, lambda: engine, None).base_path(), with_moments=True)[0]


def _report(task: _Task, path: Path, learned: Learned) -> None:
    for summary in learned.summaries:
        for warning in summary.warnings:
            click.echo(f"warning: {warning}", err=True)
    model, calibration = learned.model, learned.model.calibration_
    if model.frames < model.identity.dims:
        click.echo(
            f"warning: {model.frames} frames for {model.identity.dims} dimensions: the covariance rests on eps; "
            "give more footage",
            err=True,
        )
    if model.motion_:
        click.echo(f"   motion: {model.motion_.moments.count} frames with speed, shrinkage {model.motion_.shrinkage:g}")
    regime = f", {model.regime}" if model.regime else ""
    kept = ", from the inputs that were kept" if learned.from_kept else ""
    click.echo(f"{path}: {model.frames} frames learned ({model.features}{regime}){kept}")
    if calibration is not None:
        say_thresholds(calibration, dict(task.budgets_per_day))
