"""`streamwatch model`: what a camera's model is, and the one before it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from streamwatch.cli.options import config_option, require_camera, required_config_option
from streamwatch.cli.statements import say_thresholds, statements, thresholds_document
from streamwatch.config.loading import load_config
from streamwatch.config.models import Config
from streamwatch.events.wire import iso_time
from streamwatch.model.artifact import load_model, previous_path, read_metadata, restore_previous
from streamwatch.model.calibration import Calibration
from streamwatch.runtime.judging import budgets_of


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
    document = read_metadata(path)
    calibration = load_model(path)[0].calibration_
    if as_json:
        click.echo(json.dumps({"file": str(path), **_facts(document), "zones": _zones(calibration, budgets)}))
        return
    for name, value in _facts(document).items():
        click.echo(f"{name:>16}: {', '.join(value) if isinstance(value, list) else value}")
    if calibration is not None:
        say_thresholds(calibration, budgets)


@command.command("rollback")
@click.argument("camera")
@required_config_option
def rollback(camera: str, config_path: Path) -> None:
    """Put CAMERA's previous model back; what it replaces becomes the previous one."""
    path = _path_of(load_config(config_path), camera)
    restore_previous(path)
    click.echo(f"{path}: the model of {iso_time(read_metadata(path)['provenance']['fitted_at_s'])} is back")
    click.echo(f"the other one is kept as {previous_path(path)}; a running daemon takes it up when it is reloaded", err=True)


def _path_of(config: Config, camera: str) -> Path:
    require_camera(config, camera)
    return config.model_path(camera)


def _facts(document: dict[str, Any]) -> dict[str, Any]:
    identity, provenance = document["identity"], document["provenance"]
    return {
        "learned": iso_time(provenance["fitted_at_s"]),
        "frames": document["frames"],
        "footage_s": round(provenance["footage_s"], 1),
        "sources": list(provenance["sources"]),
        "features": list(document["fields"]),
        "backbone": f"{identity['backbone']}, d = {identity['dims']}, seed {identity['seed']}",
        "weights": f"{identity['weights']} ({identity['weights_sha256'][:12]})",
        "streamwatch": document["streamwatch_version"],
    }


def _zones(calibration: Calibration | None, budgets: dict[str, float]) -> list[dict[str, Any]]:
    return [thresholds_document(*pair) for pair in statements(calibration, budgets)] if calibration else []
