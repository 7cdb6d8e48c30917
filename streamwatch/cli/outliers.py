"""How the outliers of normal footage are said: one line each, and a page with their pictures."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
import torch

from streamwatch.files import write_atomically
from streamwatch.inference.engine import Engine
from streamwatch.learning.fit import FitResult
from streamwatch.learning.frame_cache import FrameCacheReader
from streamwatch.learning.outliers import Outlier
from streamwatch.records import UInt8Array
from streamwatch.video.overlay import heat_overlay
from streamwatch.web.outliers import Card, render_outliers


def print_outliers(label: str, path: Path, learned: FitResult, engine: Engine) -> None:
    """Print what stands out of the footage that a model was learned from, and write the page beside the model."""
    page = path.with_name(f"{path.stem}.outliers.html")
    if not learned.outliers:
        page.unlink(missing_ok=True)
        return
    cards = [_card(outlier, learned, engine) for outlier in learned.outliers]
    write_atomically(page, render_outliers(label, cards))
    click.echo(f"   of the footage stand out, see {page}:")
    for card in cards:
        click.echo(f"      --exclude {card.range}   ({card.times_usual:.1f} times where outliers begin)")


def _card(outlier: Outlier, learned: FitResult, engine: Engine) -> Card:
    exclusion = learned.index.exclusion_of(outlier.start_s, outlier.end_s)
    picture = _picture(outlier.peak_s, learned, learned.kept, engine) if learned.kept else None
    return Card(str(exclusion), outlier.times_usual, picture)


def _picture(at_s: float, learned: FitResult, kept: FrameCacheReader, engine: Engine) -> UInt8Array:
    """The frame with the map of appearance of the model that has learned it too: fainter, and in the right place."""
    pixels, model = kept.pixels_at(at_s), learned.model
    if not model.sees_appearance:
        return pixels
    frames = torch.from_numpy(pixels[None]).to(engine.device)
    grid = model.score(engine.embedder, frames).grids[0].float().cpu().numpy()
    return heat_overlay(pixels, grid, low=float(np.quantile(grid, 0.9)), high=float(grid.max()))
