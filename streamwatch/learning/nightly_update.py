"""One camera's nightly update, model by model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from streamwatch.clock import Clock
from streamwatch.config.schema import Config
from streamwatch.enums import ModelChangeKind
from streamwatch.evidence.event_frames import EventFrames, inputs_path, load_frames
from streamwatch.evidence.normal_frames import KeptFrames, frames_path, load_normal
from streamwatch.inference.engine import Engine
from streamwatch.learning.feedback import journal_of
from streamwatch.learning.nightly import UpdateResult, update_model
from streamwatch.learning.publish_model import publish_model
from streamwatch.model.artifact.serialization import Provenance, load_model
from streamwatch.model.regime import image_statistics, regime_of
from streamwatch.scenes.model_files import camera_model_paths
from streamwatch.store.event_store import EventQuery, EventStore
from streamwatch.store.sessions import database_of

NIGHTLY = "frames judged normal by night"
MAX_ALARMS = 20


@dataclass(frozen=True)
class CameraUpdate:
    """What came of updating one model file."""

    path: Path
    result: UpdateResult


def update_camera(config: Config, camera: str, engine: Engine, *, clock: Clock) -> Iterator[CameraUpdate]:
    """Update each of the camera's models with the day's frames of its regime, and forget those; nothing without frames.

    Raises:
        ModelMissing, ModelFileError: a model cannot be read or written; ModelMismatch: it is of another backbone.
    """
    kept = frames_path(config.data_dir, camera)
    day = load_normal(kept)
    if day is None:
        return
    for path in camera_model_paths(config, camera):
        journal = journal_of(config, camera, path, engine)
        model, provenance = load_model(journal.base_path(), with_moments=True)
        engine.identity.require_same(model.identity, where=path)
        result = update_model(model, engine, _of_regime(day, model.regime), _alarms(config, camera, model.regime))
        if result.accepted:
            publish_model(model, path, _provenance(provenance, clock), journal, ModelChangeKind.UPDATED)
        yield CameraUpdate(path, result)
    kept.unlink(missing_ok=True)


def _provenance(before: Provenance, clock: Clock) -> Provenance:
    sources = (*(source for source in before.sources if source != NIGHTLY), NIGHTLY)
    return replace(before, sources=sources, fitted_at_s=clock.wall_s())


def _of_regime(day: KeptFrames, regime: str | None) -> KeptFrames:
    if regime is None:
        return day
    rows = [row for row, pixels in enumerate(day.pixels) if regime_of(image_statistics(pixels), None) == regime]
    return KeptFrames(day.wall_s[rows], day.pixels[rows], day.speed[rows])


def _alarms(config: Config, camera: str, regime: str | None) -> list[EventFrames]:
    """The inputs of the camera's newest events that nobody called normal."""
    with database_of(config) as database:
        events = EventStore(database).list_events(EventQuery(camera=camera, limit=10 * MAX_ALARMS))
    found = (load_frames(inputs_path(config.data_dir / "inputs", e.id)) for e in events if e.label != "normal")
    alike = [kept for kept in found if kept and (regime is None or regime_of(image_statistics(kept.pixels[0]), None) == regime)]
    return alike[:MAX_ALARMS]
