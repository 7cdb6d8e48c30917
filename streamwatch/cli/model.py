"""`streamwatch model`: what a camera's model is, and the one before it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import torch

from streamwatch.cli.options import config_option, require_camera, required_config_option
from streamwatch.cli.statements import print_thresholds
from streamwatch.clock import SystemClock
from streamwatch.config.loading import load_config
from streamwatch.config.schema import Config
from streamwatch.documents import iso_time
from streamwatch.errors import SharedModelsError, UsageError
from streamwatch.inference.factory import engine_of
from streamwatch.learning.nightly import UpdateResult
from streamwatch.learning.nightly_update import update_camera
from streamwatch.learning.publish_model import roll_back
from streamwatch.model.artifact.serialization import load_model, read_metadata
from streamwatch.model.artifact.versions import previous_path
from streamwatch.model.calibration.thresholds import Calibration
from streamwatch.model.regime import REGIMES
from streamwatch.recalibration.commands import calibrations_in_force, undo_thresholds
from streamwatch.scenes.model_facts import model_facts
from streamwatch.scenes.model_files import other_regimes, path_for
from streamwatch.scenes.model_history import read_history
from streamwatch.scenes.policy import budgets_of
from streamwatch.scenes.shared_models.use import fetch, gathering, shared
from streamwatch.scenes.statements import statements, thresholds_document


@click.group("model")
def command() -> None:
    """Show a camera's model and its thresholds, or go back to the one before."""


@command.command("show")
@click.argument("camera")
@config_option
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def show(camera: str, config_path: Path | None, as_json: bool) -> None:
    """Print what CAMERA's model was learned from, and its thresholds; or a model file's, without -c."""
    config = load_config(config_path) if config_path else None
    path, budgets = (Path(camera), {"": 1.0}) if config is None else (_path_of(config, camera), budgets_of(config, camera))
    others = {} if config is None else other_regimes(path)
    known = calibrations_in_force(config, camera) if config else {}
    documents = [_document(at, budgets, known) for at in dict.fromkeys((path, *others.values()))]
    if as_json:
        click.echo(json.dumps({**documents[0], **({"others": documents[1:]} if documents[1:] else {})}))
        return
    for document in documents:
        for name, value in document.items():
            if name != "zones" and value is not None:
                click.echo(f"{name:>16}: {', '.join(value) if isinstance(value, list) else value}")
        calibration = _calibration_of(Path(document["file"]), known)
        if calibration is not None:
            print_thresholds(calibration, budgets)


def _document(path: Path, budgets: dict[str, float], known: Mapping[Path, Calibration]) -> dict[str, Any]:
    facts = model_facts(read_metadata(path))
    return {"file": str(path), **facts, "zones": _zones(_calibration_of(path, known), budgets)}


def _calibration_of(path: Path, known: Mapping[Path, Calibration]) -> Calibration | None:
    """What is in force, if a configuration says of which camera; else the file's own."""
    return known.get(path) or load_model(path)[0].calibration_


@command.command("rollback")
@click.argument("camera")
@required_config_option
@click.option("--regime", type=click.Choice(REGIMES), help="Of this regime's model, not of the camera's first one.")
@click.option("--thresholds", is_flag=True, help="Only the thresholds that the running daemon derived: those before them.")
def rollback(camera: str, config_path: Path, regime: str | None, thresholds: bool) -> None:
    """Put CAMERA's previous model back; what it replaces becomes the previous one.

    With --thresholds the model stays, and what the daemon watched since it had others is forgotten, again further back.
    """
    config = load_config(config_path)
    path, now_s = path_for(_path_of(config, camera), regime), SystemClock().wall_s()
    if thresholds:
        text = undo_thresholds(config, camera, path, now_s)
        click.echo(f"{camera}: thresholds from {text}; a running daemon takes them up within a minute")
        return
    with shared(config, camera):
        roll_back(path, now_s)
    click.echo(f"{path}: the model of {iso_time(read_metadata(path)['provenance']['fitted_at_s'])} is back")
    click.echo(f"the other one is kept as {previous_path(path)}; a running daemon takes it up when it is reloaded", err=True)


@command.command("history")
@click.argument("camera")
@required_config_option
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def history(camera: str, config_path: Path, as_json: bool) -> None:
    """Print what was done to CAMERA's model and its thresholds, the oldest first: by whom, when, and what it came to."""
    path = _path_of(load_config(config_path), camera)
    paths = dict.fromkeys((path, *other_regimes(path).values()))
    lines = sorted(({"model": of.stem, **line} for of in paths for line in read_history(of)), key=lambda line: line["at"])
    if as_json:
        click.echo(json.dumps(lines))
        return
    for line in lines:
        click.echo(f"{line['time']}  {line['model']}  {line['change']} by {line['by']}: {line['text']}")
    if not lines:
        click.echo(f"{camera}: nothing was done yet")


@command.command("update")
@click.argument("cameras", nargs=-1, metavar="[CAMERA]...")
@required_config_option
@click.option("--all", "all_cameras", is_flag=True, help="Every camera with `nightly_update: true`.")
@click.option("--gently", is_flag=True, help="With the lowest priority, on one core: beside a running daemon.")
def update(cameras: tuple[str, ...], config_path: Path, all_cameras: bool, gently: bool) -> None:
    """Have CAMERA's model learn the frames that the daemon judged normal since the last update.

    The new model replaces the old one if it is as good on frames that were held out, and blind to none of the
    camera's alarms that nobody called normal; `model rollback` takes it back. Which frames were judged normal, the
    daemon notes for cameras with `nightly_update: true`; it also runs this every night.
    """
    config = load_config(config_path)
    for camera in cameras:
        require_camera(config, camera)
    chosen = [c for c in config.cameras if config.settings(c).nightly_update] if all_cameras else list(cameras)
    if not chosen:
        raise UsageError("no camera to update", hint="name one, or set `nightly_update: true` and give --all")
    if gently:
        os.nice(19)
        torch.set_num_threads(1)
    engine = engine_of(config)
    unshared = list[SharedModelsError]()
    for camera in chosen:
        with gathering(unshared), shared(config, camera):
            updates = list(update_camera(config, camera, engine, clock=SystemClock()))
            for done in updates:
                click.echo(f"{done.path}: {_update_text(done.result)}")
            if not updates:
                click.echo(f"{camera}: no frames were kept as normal")
    if unshared:
        raise unshared[0]


def _update_text(result: UpdateResult) -> str:
    text = f"{'updated' if result.accepted else 'left as it was'}: {result.why}"
    if not result.learned:
        return text
    (median, high), (median_now, high_now) = result.before, result.after
    return (
        f"{text} ({result.learned} frames with {100 * result.share:.1f} % of the weight; levels of {result.held_out} "
        f"held-out frames: median {median:.2f} to {median_now:.2f}, 95 % quantile {high:.2f} to {high_now:.2f}; "
        f"{result.alarms[1]} of {result.alarms[0]} alarms raised again)"
    )


def _path_of(config: Config, camera: str) -> Path:
    require_camera(config, camera)
    fetch(config, camera)
    return config.model_path(camera)


def _zones(calibration: Calibration | None, budgets: dict[str, float]) -> list[dict[str, Any]]:
    return [thresholds_document(*pair) for pair in statements(calibration, budgets)] if calibration else []
