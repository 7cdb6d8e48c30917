"""`streamwatch evaluate mvtec`: the method on pictures, with a report."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from streamwatch.cli.progress import frame_progress
from streamwatch.clock import Clock
from streamwatch.evaluation.datasets.mvtec import PictureDataset
from streamwatch.evaluation.pictures.class_run import ClassResult, PictureReading, evaluate_class
from streamwatch.evaluation.pictures.patch_model import GaussianPatches
from streamwatch.evaluation.pictures.report import PictureSettings, class_figures, render_report, report_document
from streamwatch.evaluation.pictures.views import RandomViews, middle_view
from streamwatch.evaluation.report import RunFacts
from streamwatch.files import write_atomically
from streamwatch.inference.factory import build_engine
from streamwatch.video.streams.opener import PyAvOpener


def evaluate_pictures(
    data: PictureDataset, settings: PictureSettings, *, report_folder: Path, as_json: bool, clock: Clock
) -> None:
    """Evaluate on a data set of pictures, write report.json and report.html, and print the figures.

    Raises:
        ModelError: a distance is not finite.
    """
    began_s = clock.monotonic_s()
    for problem in data.problems:
        click.echo(f"warning: {problem}", err=True)
    report_folder.mkdir(parents=True, exist_ok=True)  # or hours later it might turn out that it cannot be made
    results = _results(data, settings, clock)
    label = "untrained" if settings.spec.weights == "builtin" else settings.spec.weights
    facts = RunFacts(shlex.join(["streamwatch", *sys.argv[1:]]), clock.monotonic_s() - began_s, label)
    document = report_document(data, results, settings, facts)
    write_atomically(report_folder / "report.json", json.dumps(document, indent=1) + "\n")
    write_atomically(report_folder / "report.html", render_report(document, results))
    _print(document, report_folder, as_json)


def _results(data: PictureDataset, settings: PictureSettings, clock: Clock) -> list[ClassResult]:
    engine = build_engine(settings.spec, device=settings.device, precision=settings.precision)
    view_of = middle_view if settings.views_seed is None else RandomViews(settings.views_seed)
    reading = PictureReading(data.root, view_of, PyAvOpener(), clock)
    results = []
    for found in data.classes:
        with frame_progress(f"class {found.name}", len(found.training) + len(found.test)) as advance:
            results.append(evaluate_class(found, GaussianPatches(engine.embedder), reading, engine.device, advance))
        click.echo(_line(found.name, class_figures(results[-1])), err=True)
    return results


def _print(document: Mapping[str, Any], folder: Path, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(document))
        return
    for name, row in (("textures", document["textures"]), ("objects", document["objects"]), ("all", document)):
        click.echo(_line(name, row))
    for problem in document["problems"]:
        click.echo(f"problem: {problem}", err=True)
    click.echo(f"report: {folder / 'report.html'}")


def _line(name: str, row: Mapping[str, Any]) -> str:
    named = (("image AUROC", "image_auroc"), ("pixel AUROC", "pixel_auroc"), ("PRO", "pro"))
    return f"{name:<12} {'   '.join(f'{label} {_percent(row[key])}' for label, key in named)}"


def _percent(value: float | None) -> str:
    return "  -  " if value is None else f"{100 * value:5.2f}"
