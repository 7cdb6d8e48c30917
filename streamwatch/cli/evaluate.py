"""`streamwatch evaluate`: the method on public data sets, with a report."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from streamwatch.cli.evaluate_pictures import evaluate_pictures
from streamwatch.cli.evaluate_variants import compare_variants
from streamwatch.cli.options import (
    BackboneChoice,
    backbone_options,
    device_option,
    features_option,
    precision_option,
    warn_if_untrained,
)
from streamwatch.cli.progress import frame_progress
from streamwatch.cli.workers import WorkerChoice, engine_options
from streamwatch.clock import SystemClock
from streamwatch.errors import UsageError
from streamwatch.evaluation.ablation import ablate as compare_rules
from streamwatch.evaluation.ablation import accuracy_page
from streamwatch.evaluation.datasets.avenue import load_avenue
from streamwatch.evaluation.datasets.dataset import Dataset
from streamwatch.evaluation.datasets.mvtec import PictureDataset, load_mvtec
from streamwatch.evaluation.datasets.shanghaitech import load_shanghaitech
from streamwatch.evaluation.datasets.ucsd import load_ucsd
from streamwatch.evaluation.html import render_report
from streamwatch.evaluation.pictures.report import PictureSettings
from streamwatch.evaluation.report import RunFacts, ablation_facts, report_document
from streamwatch.evaluation.runner import Progress, evaluate_dataset, expected_total
from streamwatch.evaluation.scene_run import SceneResult, Settings
from streamwatch.evaluation.tracks import tracks_of
from streamwatch.files import write_atomically
from streamwatch.model.embedding.identity import BackboneSpec, resolve_device
from streamwatch.model.scoring.fusion import Features
from streamwatch.video.streams.opener import PyAvOpener

VIDEOS = ("shanghaitech", "ucsd", "avenue")
PICTURES = "mvtec"
OPTIONS_OF: dict[str, tuple[str, ...]] = {
    "scenes": ("shanghaitech",),
    "classes": (PICTURES,),
    "rd": (PICTURES,),
    **dict.fromkeys(("train_frames", "every", "tracks_folder", "workers", "ablate", "features", "engine"), VIDEOS),
}

NOT_WITH_VARIANTS = ("ablate", "features", "tracks_folder", "workers", "engine")


@click.command("evaluate")
@click.argument("dataset", type=click.Choice([*VIDEOS, PICTURES]))
@click.argument("root", type=click.Path(path_type=Path))
@click.option("--report", "report_folder", type=click.Path(path_type=Path), required=True, help="Folder to write to.")
@click.option("--scenes", help="Only these scenes, like 01,03 (shanghaitech).")
@click.option("--classes", help="Only these classes, like bottle,grid (mvtec).")
@click.option("--rd", is_flag=True, help="Turn and crop each picture at random, by --seed (mvtec): Rd-MVTec.")
@click.option("--train-frames", type=click.IntRange(min=32), default=5000, show_default=True, help="Per scene at most, evenly.")
@click.option("--every", type=click.IntRange(min=1), default=1, show_default=True, help="Score every n-th test frame.")
@click.option("--tracks", "tracks_folder", type=click.Path(path_type=Path), help="CLIP.txt: track,frame,left,top,right,bottom.")
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=1,
    help="Scenes at once, in processes; with --engine ray clips. [default: 1, or Ray's CPUs]",
)
@click.option("--ablate", is_flag=True, help="Compare fields and ways of fusing them instead; writes ablation.md.")
@click.option("--variants", is_flag=True, help="Compare the paper's method with its variants instead; writes variants.md.")
@click.option("--json", "as_json", is_flag=True, help="Print report.json on stdout.")
@features_option
@backbone_options
@device_option
@precision_option
@engine_options
@click.pass_context
def command(
    context: click.Context,
    dataset: str,
    root: Path,
    report_folder: Path,
    scenes: str | None,
    classes: str | None,
    rd: bool,
    train_frames: int,
    every: int,
    tracks_folder: Path | None,
    workers: int,
    ablate: bool,
    variants: bool,
    as_json: bool,
    features: Features | None,
    backbone: str | None,
    weights: str | None,
    dims: int | None,
    seed: int | None,
    device: str,
    precision: str,
    engine: str,
    address: str,
) -> None:
    """Evaluate on a data set in ROOT and write a report.

    Videos are those of ShanghaiTech Campus, UCSD Ped1 or Ped2, or CUHK Avenue: one model per scene, fitted on its training
    videos only. Finished scenes are cached in the report's folder: an interrupted run continues. Pictures are those of MVTec
    AD: one model per class.
    """
    del engine, address  # WorkerChoice has them
    by = WorkerChoice.of(context, device=device)
    _require_options_of(dataset, context)
    resolve_device(device)
    clock = SystemClock()
    began_s = clock.monotonic_s()
    spec = _spec(BackboneChoice(backbone, weights, dims, seed))
    warn_if_untrained("untrained" if spec.weights == "builtin" else spec.weights)
    settings = Settings(spec, device, precision, train_frames, every, features or "appearance")
    data = load_mvtec(root, _parts(classes)) if dataset == PICTURES else _load(dataset, root.absolute(), scenes)
    if variants:
        compare_variants(data, settings, report_folder, views_seed=spec.seed if rd else None, as_json=as_json)
        return
    if isinstance(data, PictureDataset):
        asked = PictureSettings(spec, device, settings.scoring_precision, spec.seed if rd else None)
        evaluate_pictures(data, asked, report_folder=report_folder, as_json=as_json, clock=clock)
        return
    settings = replace(settings, annotated=tracks_of(tracks_folder, data) if tracks_folder else None)
    if ablate:
        _require_one_process(by)
        _ablate(data, settings, report_folder, as_json)
        return
    results = _evaluate(data, settings, report_folder, workers, by)
    label = "untrained" if spec.weights == "builtin" else spec.weights
    facts = RunFacts(shlex.join(["streamwatch", *sys.argv[1:]]), clock.monotonic_s() - began_s, label)
    document = report_document(data, results, settings, facts)
    write_atomically(report_folder / "report.json", json.dumps(document, indent=1) + "\n")
    write_atomically(report_folder / "report.html", render_report(document, results))
    _print(document, report_folder, as_json)


def _require_options_of(dataset: str, context: click.Context) -> None:
    """An option that means nothing of this data set is a mistake."""
    for name, datasets in OPTIONS_OF.items():
        given = context.get_parameter_source(name) == ParameterSource.COMMANDLINE
        if given and dataset not in datasets:
            option = next(parameter.opts[0] for parameter in context.command.params if parameter.name == name)
            raise UsageError(f"{option} goes with {', '.join(datasets)} only", hint=f"leave it out for {dataset}")
        if given and context.params["variants"] and name in NOT_WITH_VARIANTS:
            raise UsageError(
                f"--variants are of appearance alone, in one process: {name.partition('_')[0]} means nothing to them"
            )


def _require_one_process(by: WorkerChoice) -> None:
    if by.engine == "ray":
        raise UsageError("--ablate compares in one process", hint="leave out --engine ray")


def _ablate(data: Dataset, settings: Settings, folder: Path, as_json: bool) -> None:
    total = sum(expected_total(scene, settings) for scene in data.scenes)
    with frame_progress(f"ablate {data.name}", total) as advance:
        rows = compare_rules(data, settings, opener=PyAvOpener(), clock=SystemClock(), on_frames=advance)
    page = accuracy_page(rows, ablation_facts(data, settings, shlex.join(["streamwatch", *sys.argv[1:]])))
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "ablation.md", page)
    click.echo(json.dumps([asdict(row) for row in rows]) if as_json else page)


def _load(name: str, root: Path, scenes: str | None) -> Dataset:
    if name == "ucsd":
        return load_ucsd(root)
    if name == "avenue":
        return load_avenue(root, PyAvOpener())
    return load_shanghaitech(root, PyAvOpener(), _parts(scenes))


def _parts(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",")) if text else ()


def _spec(choice: BackboneChoice) -> BackboneSpec:
    base = BackboneSpec()
    seed = base.seed if choice.seed is None else choice.seed
    return BackboneSpec(choice.name or base.name, choice.weights or base.weights, choice.dims, seed)


def _evaluate(data: Dataset, settings: Settings, folder: Path, workers: int, by: WorkerChoice) -> list[SceneResult]:
    for problem in data.problems:
        click.echo(f"warning: {problem}", err=True)

    def on_scene(result: SceneResult, cached: bool) -> None:
        done = "from the cache" if cached else "done"
        click.echo(f"scene {result.name}: {done}, {result.train_frames} frames learned, {result.frames} scored", err=True)

    progress = Progress(frame_progress, on_scene)
    with by.mapper() as mapper:
        return evaluate_dataset(data, settings, cache=folder / "cache", workers=workers, progress=progress, mapper=mapper)


def _print(document: dict[str, Any], folder: Path, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(document))
        return
    click.echo(f"pixel AUROC         {_percent(document['pixel_auroc'])}   PRO {_percent(document['pro'])}")
    for name in ("raw", "causal", "literature"):
        row = document if name == "raw" else document[name]
        micro, macro = _percent(row["frame_auroc_micro"]), _percent(row["frame_auroc_macro"])
        click.echo(f"frame AUROC {name:<11} {micro} micro, {macro} macro")
    for problem in document["problems"]:
        click.echo(f"problem: {problem}", err=True)
    click.echo(f"report: {folder / 'report.html'}")


def _percent(value: float | None) -> str:
    return "  -  " if value is None else f"{100 * value:5.2f}"
