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
from streamwatch.cli.progress import frame_progress
from streamwatch.cli.statements import say_thresholds
from streamwatch.clock import SystemClock
from streamwatch.config.loading import load_config
from streamwatch.config.models import Config
from streamwatch.errors import UsageError
from streamwatch.model.artifact import keep_previous, load_model, save_model
from streamwatch.model.fusion import Features
from streamwatch.model.identity import BackboneSpec
from streamwatch.records import SPEED_GRID
from streamwatch.runtime.calibrating import AlarmTerms, terms_of
from streamwatch.runtime.engine import Engine
from streamwatch.runtime.footage import Footage, expected_frames
from streamwatch.runtime.judging import budgets_of
from streamwatch.runtime.learning import Learned, learn_scene
from streamwatch.runtime.lessons import LessonBook
from streamwatch.runtime.models import build_engine, spec_of
from streamwatch.video.opener import PyAvOpener, StreamOptions
from streamwatch.video.sources import parse_source

GRID = (SPEED_GRID, SPEED_GRID)


@dataclass(frozen=True)
class _Task:
    """One model to learn."""

    label: str
    path: Path
    footage: Footage
    stream: StreamOptions
    terms: AlarmTerms = field(default_factory=AlarmTerms)
    budgets_per_day: Mapping[str, float] = field(default_factory=lambda: {"": 1.0})


@click.command("fit")
@click.argument("arguments", nargs=-1, metavar="[CAMERA] [SOURCE]...")
@config_option
@click.option("--model", "model_path", type=click.Path(path_type=Path), help="Write this model file; no configuration.")
@click.option("--all", "all_cameras", is_flag=True, help="With -c: learn every enabled camera from its `normal`.")
@click.option("--live", "live_s", type=Duration(), help="Learn from the camera itself for this long, like 20m.")
@click.option("--update", is_flag=True, help="Add to the model that is there instead of starting anew.")
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
    if (config_path is None) == (model_path is None):
        raise UsageError("give either -c CONFIG or --model OUT", hint="see `streamwatch fit --help`")
    if model_path is not None:
        if all_cameras:
            raise UsageError("--all needs -c CONFIG")
        task = _model_task(model_path, arguments, live_s, frame_rate, features or "appearance")
        spec = _spec(choice, model_path if update else None)
        _learn_all([task], build_engine(spec, device=device, precision=precision), update)
        return
    if features is not None:
        raise UsageError("--features cannot be given with -c", hint="set `features` in the configuration")
    if config_path is not None:
        _fit_configured(load_config(config_path), arguments, choice, all_cameras, live_s, update)


def _fit_configured(
    config: Config,
    arguments: tuple[str, ...],
    choice: BackboneChoice,
    all_cameras: bool,
    live_s: float | None,
    update: bool,
) -> None:
    if choice.given:
        raise UsageError(f"{', '.join(choice.given)} cannot be given with -c", hint="set `backbone` in the configuration")
    warn_of_inert_keys(config)
    if all_cameras:
        cameras = [name for name, camera in config.cameras.items() if camera.enabled]
        tasks = [_camera_task(config, name, arguments, live_s) for name in cameras]
    else:
        tasks = [_camera_task(config, _camera_name(config, arguments), arguments[1:], live_s)]
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
    return _Task(name, config.model_path(name), footage, stream, terms_of(config, name, GRID), budgets_of(config, name))


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
        book = LessonBook(task.path, lambda: engine)
        lessons = book.lessons()
        base = load_model(book.base_path(), with_moments=True)[0] if update else None
        opener = PyAvOpener(task.stream)
        with frame_progress(f"fit {task.label}", expected_frames(task.footage, opener)) as advance:
            learned = learn_scene(
                task.footage, engine, opener=opener, clock=SystemClock(), base=base, terms=task.terms, on_frames=advance
            )
        keep_previous(task.path)
        save_model(learned.model, task.path, learned.provenance)
        book.rebase(lessons)
        _report(task, learned)
        if lessons:
            click.echo(f"   {len(lessons)} events that were called normal are taught to it again")


def _report(task: _Task, learned: Learned) -> None:
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
    click.echo(f"{task.path}: {model.frames} frames learned ({model.features})")
    if calibration is not None:
        say_thresholds(calibration, dict(task.budgets_per_day))
