"""`streamwatch evaluate ... --variants`: the paper's method beside what differs from it in one thing."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import click

from streamwatch.cli.progress import frame_progress
from streamwatch.clock import SystemClock
from streamwatch.evaluation.datasets.dataset import Dataset
from streamwatch.evaluation.datasets.mvtec import PictureDataset
from streamwatch.evaluation.pictures.class_run import PictureReading
from streamwatch.evaluation.pictures.views import RandomViews, middle_view
from streamwatch.evaluation.report import method_facts
from streamwatch.evaluation.scene_run import Settings
from streamwatch.evaluation.variants.table import (
    Row,
    VideoRun,
    on_pictures,
    on_videos,
    rows_document,
    variants_of,
    variants_page,
)
from streamwatch.files import write_atomically
from streamwatch.inference.factory import build_engine
from streamwatch.model.embedding.backbone import architecture
from streamwatch.model.embedding.identity import build_embedder
from streamwatch.video.streams.opener import PyAvOpener


def compare_variants(
    data: Dataset | PictureDataset, settings: Settings, folder: Path, *, views_seed: int | None, as_json: bool
) -> None:
    """Evaluate every variant, write variants.md and variants.json, and print them; raises as the comparisons.

    Args:
        views_seed: of Rd-MVTec's views; None looks at the middle of every picture.
    """
    for problem in data.problems:
        click.echo(f"warning: {problem}", err=True)
    folder.mkdir(parents=True, exist_ok=True)
    engine = build_engine(settings.spec, device=settings.device, precision=settings.scoring_precision)
    channels = tuple(range(sum(architecture(settings.spec.name).channels)))
    whole = build_embedder(settings.spec, device=engine.device, precision=settings.scoring_precision, indices=channels)[0]
    variants = variants_of(engine.embedder, whole, settings.spec.seed)
    clock, rows = SystemClock(), list[Row]()
    for variant in variants:
        with frame_progress(variant.name.strip("*"), None) as advance:
            if isinstance(data, PictureDataset):
                view_of = middle_view if views_seed is None else RandomViews(views_seed)
                reading = PictureReading(data.root, view_of, PyAvOpener(), clock)
                rows.append(on_pictures(variant, data, reading, engine.device, advance))
            else:
                rows.append(on_videos(variant, data, VideoRun(settings, engine.device, PyAvOpener(), clock, advance)))
    facts = method_facts(settings, shlex.join(["streamwatch", *sys.argv[1:]])) | {"data": _named(data, settings, views_seed)}
    page, document = variants_page(rows, facts), json.dumps(rows_document(rows, facts), indent=1)
    write_atomically(folder / "variants.md", page)
    write_atomically(folder / "variants.json", document + "\n")
    click.echo(document if as_json else page)


def _named(data: Dataset | PictureDataset, settings: Settings, views_seed: int | None) -> str:
    if isinstance(data, PictureDataset):
        return f"{'' if views_seed is None else 'rd-'}{data.name}, {len(data.classes)} class(es)"
    learned = "all" if settings.train_frames is None else f"at most {settings.train_frames}"
    return f"{data.name}, {len(data.scenes)} scene(s), {learned} frames of each learned, one in {settings.every} tested"
