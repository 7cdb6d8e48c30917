"""`streamwatch calibrate`: thresholds from normal footage that the model has not seen, without learning it."""

from __future__ import annotations

import json
from pathlib import Path

import click

from streamwatch.cli.options import note_if_untrained, require_camera, required_config_option
from streamwatch.cli.progress import frame_progress
from streamwatch.cli.statements import say_thresholds, statements, thresholds_document
from streamwatch.clock import SystemClock
from streamwatch.config.loading import load_config
from streamwatch.config.models import Config
from streamwatch.errors import NotEnoughFrames, UsageError
from streamwatch.model.artifact import load_model, save_model
from streamwatch.model.calibration import Calibration, merge_zones
from streamwatch.model.regime import RegimeSorter
from streamwatch.model.rehearsal import GAP_S
from streamwatch.runtime.calibrating import calibrate_on, terms_of
from streamwatch.runtime.engine import Engine
from streamwatch.runtime.footage import Footage, expected_frames
from streamwatch.runtime.judging import budgets_of
from streamwatch.runtime.lessons import LessonBook
from streamwatch.runtime.models import build_engine, other_regimes, spec_of, watched
from streamwatch.video.opener import PyAvOpener, StreamOptions
from streamwatch.video.sources import Source, parse_source


@click.command("calibrate")
@click.argument("camera")
@click.argument("sources", nargs=-1, metavar="[SOURCE]...")
@required_config_option
@click.option("--add", is_flag=True, help="Add to the footage that the model was calibrated on, instead of replacing it.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def command(camera: str, sources: tuple[str, ...], config_path: Path, add: bool, as_json: bool) -> None:
    r"""Set CAMERA's thresholds from normal footage, for its alarm budget.

    \b
    SOURCE is footage in which nothing happened that should raise an alarm, and that the model was not
    learned from; without it, the camera's `normal`. The longer, the surer: a budget of 1/day takes 3 days.
    """
    config = load_config(config_path)
    require_camera(config, camera)
    sources_of_it = _sources(config, camera, sources)
    note_if_untrained(config.backbone.weights)
    engine = build_engine(spec_of(config.backbone), device=config.device, precision=config.precision)
    path, budgets, documents = config.model_path(camera), budgets_of(config, camera), []
    for at in dict.fromkeys((path, *other_regimes(path).values())):
        try:
            calibration = _calibrate(config, camera, at, engine, sources_of_it, add)
        except NotEnoughFrames:
            if at == path and not other_regimes(path):
                raise
            click.echo(f"note: {at}: the footage shows too little of its regime; its thresholds stay", err=True)
            continue
        found = [thresholds_document(*pair) for pair in statements(calibration, budgets)]
        documents.append({"camera": camera, "model": str(at), "zones": found})
        if not as_json:
            click.echo(f"{at}: calibrated on {calibration.frames} frames")
            say_thresholds(calibration, budgets)
    if not documents:
        raise NotEnoughFrames("the footage is too short to calibrate on")
    if as_json:
        click.echo(json.dumps({**documents[0], **({"others": documents[1:]} if documents[1:] else {})}))


def _sources(config: Config, camera: str, texts: tuple[str, ...]) -> tuple[Source, ...]:
    texts = texts or config.cameras[camera].normal
    if not texts:
        raise UsageError(f"camera {camera}: no footage to calibrate on", hint="give a SOURCE, or set `normal`")
    parsed = tuple(parse_source(text, frame_rate_hz=config.settings(camera).frame_rate) for text in texts)
    if any(source.live for source in parsed):
        raise UsageError("a live source never ends", hint="record it first, or use `fit --live`")
    return parsed


def _calibrate(config: Config, camera: str, path: Path, engine: Engine, sources: tuple[Source, ...], add: bool) -> Calibration:
    """Calibrate one of the camera's models on the footage of its regime, and write it."""
    settings = config.settings(camera)
    model, provenance = load_model(path, with_moments=True)
    engine.watch(camera, watched(model, config, camera))
    opener = PyAvOpener(StreamOptions(settings.transport, settings.open_timeout, settings.read_timeout))
    footage = Footage(
        sources,
        fps=None if settings.fps == "native" else settings.fps,
        features=model.features,
        motion_step_s=model.motion_step_s,
    )
    sorter = RegimeSorter(model.regime) if model.regime and settings.regimes == "auto" else None
    with frame_progress(f"calibrate {path.stem}", expected_frames(footage, opener)) as advance:
        terms = terms_of(config, camera, model.grid)
        calibration, levels = calibrate_on(
            footage, camera, engine, terms, opener=opener, clock=SystemClock(), sorter=sorter, on_frames=advance
        )
    if add and model.calibration_:
        calibration = calibration.with_zones(merge_zones([model.calibration_, calibration]))
        levels = model.levels_.followed_by(levels, GAP_S) if model.levels_ and levels else None
    book = LessonBook(path, lambda: engine, lambda _: terms)
    lessons = book.lessons()
    book.recalibrate(calibration, levels)
    model.calibration_, model.levels_ = calibration, levels
    save_model(model, path, provenance)
    book.confirm(lessons)
    return calibration
