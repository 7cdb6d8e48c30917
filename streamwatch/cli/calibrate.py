"""`streamwatch calibrate`: thresholds from normal footage that the model has not seen, without learning it."""

from __future__ import annotations

import json
from pathlib import Path

import click

from streamwatch.cli.options import require_camera, required_config_option, warn_if_untrained
from streamwatch.cli.progress import frame_progress
from streamwatch.cli.statements import print_thresholds
from streamwatch.config.loading import load_config
from streamwatch.config.schema import Config
from streamwatch.errors import NotEnoughFrames, UsageError
from streamwatch.inference.factory import engine_of
from streamwatch.learning.calibrate import calibrate_camera
from streamwatch.scenes.model_files import camera_model_paths
from streamwatch.scenes.policy import budgets_of
from streamwatch.scenes.shared_models.use import shared
from streamwatch.scenes.statements import statements, thresholds_document
from streamwatch.video.sources import Source, camera_source


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
    warn_if_untrained(config.backbone.weights)
    with shared(config, camera):
        _calibrate(config, camera, sources_of_it, add=add, as_json=as_json)


def _calibrate(config: Config, camera: str, sources_of_it: tuple[Source, ...], *, add: bool, as_json: bool) -> None:
    engine, budgets, documents = engine_of(config), budgets_of(config, camera), []
    paths = camera_model_paths(config, camera)
    for at in paths:
        try:
            calibration = calibrate_camera(config, camera, at, engine, sources_of_it, add=add, progress=frame_progress)
        except NotEnoughFrames:
            if len(paths) == 1:
                raise
            click.echo(f"note: {at}: the footage shows too little of its regime; its thresholds stay", err=True)
            continue
        found = [thresholds_document(*pair) for pair in statements(calibration, budgets)]
        documents.append({"camera": camera, "model": str(at), "zones": found})
        if not as_json:
            click.echo(f"{at}: calibrated on {calibration.frames} frames")
            print_thresholds(calibration, budgets)
    if not documents:
        raise NotEnoughFrames("the footage is too short to calibrate on")
    if as_json:
        click.echo(json.dumps({**documents[0], **({"others": documents[1:]} if documents[1:] else {})}))


def _sources(config: Config, camera: str, texts: tuple[str, ...]) -> tuple[Source, ...]:
    texts = texts or config.cameras[camera].normal
    if not texts:
        raise UsageError(f"camera {camera}: no footage to calibrate on", hint="give a SOURCE, or set `normal`")
    parsed = tuple(camera_source(text, config.settings(camera), footage=True) for text in texts)
    if any(source.live for source in parsed):
        raise UsageError("a live source never ends", hint="record it first, or use `fit --live`")
    return parsed
