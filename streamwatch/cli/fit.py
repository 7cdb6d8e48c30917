"""`streamwatch fit`: learn a scene from normal footage."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
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
    precision_option,
    require_camera,
    warn_if_untrained,
)
from streamwatch.cli.outliers import print_outliers
from streamwatch.cli.progress import frame_progress
from streamwatch.cli.statements import print_thresholds
from streamwatch.cli.workers import WorkerChoice, engine_options, workers_option
from streamwatch.config.loading import load_config
from streamwatch.config.schema import Config
from streamwatch.errors import SharedModelsError, UsageError
from streamwatch.inference.engine import Engine
from streamwatch.inference.factory import EngineSpec
from streamwatch.learning.advice import advice_for
from streamwatch.learning.by_clip.fit import Workers
from streamwatch.learning.fit_camera import (
    FitTask,
    Fitted,
    FootageOptions,
    backbone_of,
    camera_task,
    fit_task,
    model_task,
    require_clips,
)
from streamwatch.learning.segment_index import parse_exclusion
from streamwatch.model.embedding.identity import BackboneSpec
from streamwatch.model.scoring.fusion import Features
from streamwatch.model.scoring.motion_field import PX_PER_CELL, MotionField
from streamwatch.scenes.shared_models.use import gathering, shared


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
@engine_options
@workers_option
@click.pass_context
def command(
    context: click.Context,
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
    engine: str,
    address: str,
    workers: int | None,
) -> None:
    r"""Learn what a scene normally looks like.

    \b
    streamwatch fit -c CONFIG CAMERA [SOURCE...]    a camera of a configuration, at its fps
    streamwatch fit --model OUT.safetensors SOURCE...    a model file, from every frame

    SOURCE is a video file, a folder of images, a glob, or with --live a camera.
    """
    del engine, address, workers  # WorkerChoice has them
    choice, by = BackboneChoice(backbone, weights, dims, seed), WorkerChoice.of(context, device=device)
    by.require_local_without_workers()
    options = FootageOptions(tuple(map(parse_exclusion, exclude)), keep_inputs)
    if (config_path is None) == (model_path is None):
        raise UsageError("give either -c CONFIG or --model OUT", hint="see `streamwatch fit --help`")
    if model_path is not None:
        if all_cameras:
            raise UsageError("--all needs -c CONFIG")
        task = options.applied(model_task(model_path, arguments, live_s, frame_rate, features or "appearance"))
        spec = EngineSpec(_spec(choice, model_path if update else None), device, precision)
        _learn_all([task], spec, update, by)
        return
    if features is not None:
        raise UsageError("--features cannot be given with -c", hint="set `features` in the configuration")
    if config_path is not None:
        _fit_configured(load_config(config_path), arguments, choice, all_cameras, live_s, update, options, by)


def _fit_configured(
    config: Config,
    arguments: tuple[str, ...],
    choice: BackboneChoice,
    all_cameras: bool,
    live_s: float | None,
    update: bool,
    options: FootageOptions,
    by: WorkerChoice,
) -> None:
    if choice.given:
        raise UsageError(f"{', '.join(choice.given)} cannot be given with -c", hint="set `backbone` in the configuration")
    if all_cameras:
        cameras = [name for name, camera in config.cameras.items() if camera.enabled]
        tasks = [camera_task(config, name, arguments, live_s) for name in cameras]
    else:
        tasks = [camera_task(config, _camera_name(config, arguments), arguments[1:], live_s)]
    tasks = [options.applied(task) for task in tasks]
    _learn_all(tasks, EngineSpec.of(config), update, replace(by, device=config.device), partial(shared, config))


def _camera_name(config: Config, arguments: tuple[str, ...]) -> str:
    if not arguments:
        raise UsageError("which camera?", hint=f"name one of {', '.join(config.cameras)}, or give --all")
    require_camera(config, arguments[0])
    return arguments[0]


def _spec(choice: BackboneChoice, existing: Path | None) -> BackboneSpec:
    """The backbone asked for; for an update, the one of the model that is there."""
    base = BackboneSpec() if existing is None else backbone_of(existing)
    return BackboneSpec(
        choice.name or base.name,
        choice.weights or base.weights,
        choice.dims or base.dims,
        base.seed if choice.seed is None else choice.seed,
    )


Sharing = Callable[[str], AbstractContextManager[None]]
"""Within it a camera's model is changed."""


def _unshared(_camera: str) -> AbstractContextManager[None]:
    return nullcontext()


def _learn_all(tasks: list[FitTask], spec: EngineSpec, update: bool, by: WorkerChoice, sharing: Sharing = _unshared) -> None:
    for task in tasks if by.engine == "ray" else ():
        require_clips(task)
    with by.mapper() as mapper:
        engine = spec.build()
        warn_if_untrained(engine.identity.weights)
        workers = Workers(mapper, spec) if mapper else None
        unshared = list[SharedModelsError]()
        for task in tasks:
            with gathering(unshared), sharing(task.label):
                _learn(task, engine, update, workers)
    if unshared:
        raise unshared[0]


def _learn(task: FitTask, engine: Engine, update: bool, workers: Workers | None) -> None:
    for done in fit_task(task, engine, update=update, progress=frame_progress, workers=workers):
        if isinstance(done, Fitted):
            _report(done, engine)
        else:
            what = f"{done.frames} frames of a {done.regime} picture left out"
            click.echo(f"note: {what}: learn them from a longer recording", err=True)


def _report(done: Fitted, engine: Engine) -> None:
    result, model = done.result, done.result.model
    for summary in result.summaries:
        for warning in summary.warnings:
            click.echo(f"warning: {warning}", err=True)
    if model.frames < model.identity.dims:
        click.echo(
            f"warning: {model.frames} frames for {model.identity.dims} dimensions: the covariance rests on eps; "
            "give more footage",
            err=True,
        )
    if isinstance(model.motion_, MotionField):
        size_px = PX_PER_CELL * model.motion_.size_cells
        click.echo(f"   motion: {model.motion_.moments.count} frames with speed, averaged over {size_px:g} px")
    regime = f", {model.regime}" if model.regime else ""
    kept = ", from the inputs that were kept" if result.from_kept else ""
    click.echo(f"{done.path}: {model.frames} frames learned ({model.features}{regime}){kept}")
    if model.calibration_ is not None:
        print_thresholds(model.calibration_, dict(done.task.budgets_per_day))
    for line in advice_for(model, done.task.budgets_per_day, len(result.outliers)):
        click.echo(f"   {line}")
    if done.taught_again:
        click.echo(f"   {done.taught_again} events that were called normal are taught to it again")
    print_outliers(done.task.label, done.path, result, engine)
