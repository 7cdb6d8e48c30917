"""On what values of a watched camera depend: of another model, zone or rule they say nothing of the present one."""

from __future__ import annotations

import hashlib
import json

from streamwatch.config.schema import Config
from streamwatch.model.scoring.levels import MOTION
from streamwatch.model.scoring.motion_field import MotionField
from streamwatch.scenes.model_files import CameraScenes
from streamwatch.scenes.zones import zone_masks

FieldOfZone = tuple[str, str]
"""Zone and field."""


def bases_of(config: Config, camera: str, scenes: CameraScenes, regime: str | None) -> dict[FieldOfZone, str]:
    """A digest for each zone and field of a scene; none for a model whose fields are judged together.

    Nightly updates and feedback change a model little, and only to see less that is unusual: they leave it.
    """
    model = scenes.watched[regime].model
    settings, motion = config.settings(camera), model.motion_
    rules = (settings.min_duration, settings.end_delay, settings.cooldown, settings.fps, model.motion_step_s)
    of_fields: dict[str, float | None] = {field: None for field in model.judged_fields if field}
    if isinstance(motion, MotionField):
        of_fields[MOTION] = motion.size_cells
    found = {}
    for zone, cells in zone_masks(config, camera, model.grid).items():
        place = "" if cells is None else hashlib.sha256(cells.tobytes()).hexdigest()
        for field, size_cells in of_fields.items():
            parts = [scenes.provenance[regime].learned_at_s, place, field, size_cells, *rules]
            found[zone, field] = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
    return found
