"""The zones of a camera's picture, as the model's cells."""

from __future__ import annotations

import numpy as np

from streamwatch.config.schema import Config
from streamwatch.events.region import polygon_mask
from streamwatch.records import BoolGrid


def zone_masks(config: Config, camera: str, grid: tuple[int, int]) -> dict[str, BoolGrid | None]:
    """The cells of every zone; a cell is the first zone's that covers it, and what no zone covers is zone ``""``.

    Cells that are ignored belong to none. A single zone of all cells is None: nothing is to be picked.
    """
    settings = config.cameras[camera]
    free = np.ones(grid, dtype=bool)
    if settings.ignore:
        free &= ~polygon_mask([list(p) for p in settings.ignore], grid)
    masks: dict[str, BoolGrid | None] = {}
    for name, zone in settings.zones.items():
        inside = polygon_mask([list(zone.polygon)], grid) & free
        masks[name] = inside
        free &= ~inside
    return {"": None if free.all() else free, **masks}
