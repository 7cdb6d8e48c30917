"""One camera's nightly update, model by model, and how it is said."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from streamwatch.clock import Clock
from streamwatch.config.models import Config
from streamwatch.model.artifact import Provenance, keep_previous, load_model, save_model
from streamwatch.model.regime import look_of, regime_of
from streamwatch.runtime.calibrating import terms_of
from streamwatch.runtime.engine import Engine
from streamwatch.runtime.event_inputs import EventFrames, inputs_path, load_frames
from streamwatch.runtime.lessons import LessonBook
from streamwatch.runtime.models import other_regimes
from streamwatch.runtime.nightly import Verdict, update_model
from streamwatch.runtime.normal_frames import KeptFrames, frames_path, load_normal
from streamwatch.store.event_store import EventQuery, EventStore
from streamwatch.store.sessions import open_database

NIGHTLY = "frames judged normal by night"
MOST_ALARMS = 20


def update_camera(config: Config, camera: str, engine: Engine, *, clock: Clock) -> Iterator[str]:
    """Update each of the camera's models with the day's frames of its regime, and forget those; a line for each.

    Raises:
        ModelMissing, ModelFileError: a model cannot be read or written; ModelMismatch: it is of another backbone.
    """
    kept, path = frames_path(config.data_dir, camera), config.model_path(camera)
    day = load_normal(kept)
    if day is None:
        yield f"{camera}: no frames were kept as normal"
        return
    for at in dict.fromkeys((path, *other_regimes(path).values())):
        yield f"{at}: {_update(config, camera, at, engine, day, clock)}"
    kept.unlink(missing_ok=True)


def _update(config: Config, camera: str, path: Path, engine: Engine, day: KeptFrames, clock: Clock) -> str:
    book = LessonBook(path, lambda: engine, partial(terms_of, config, camera))
    lessons = book.lessons()
    model, provenance = load_model(book.base_path(), with_moments=True)
    engine.identity.require_same(model.identity, where=path)
    verdict = update_model(model, engine, _of_regime(day, model.regime), _alarms(config, camera, model.regime))
    if verdict.accepted:
        keep_previous(path)
        save_model(model, path, _provenance(provenance, clock))
        book.rebase(lessons)
    return _said(verdict)


def _provenance(before: Provenance, clock: Clock) -> Provenance:
    sources = (*(source for source in before.sources if source != NIGHTLY), NIGHTLY)
    return replace(before, sources=sources, fitted_at_s=clock.wall_s())


def _of_regime(day: KeptFrames, regime: str | None) -> KeptFrames:
    if regime is None:
        return day
    rows = [row for row, pixels in enumerate(day.pixels) if regime_of(look_of(pixels), None) == regime]
    return KeptFrames(day.wall_s[rows], day.pixels[rows], day.speed[rows])


def _alarms(config: Config, camera: str, regime: str | None) -> list[EventFrames]:
    """The inputs of the camera's newest events that nobody called normal."""
    store = EventStore(open_database(config.database.get_secret_value() if config.database else None, config.data_dir))
    try:
        events = store.list_events(EventQuery(camera=camera, limit=10 * MOST_ALARMS))
    finally:
        store.close()
    found = (load_frames(inputs_path(config.data_dir / "inputs", e.id)) for e in events if e.label != "normal")
    alike = [kept for kept in found if kept and (regime is None or regime_of(look_of(kept.pixels[0]), None) == regime)]
    return alike[:MOST_ALARMS]


def _said(verdict: Verdict) -> str:
    said = f"{'updated' if verdict.accepted else 'left as it was'}: {verdict.why}"
    if not verdict.learned:
        return said
    return (
        f"{said} ({verdict.learned} frames with {100 * verdict.share:.1f} % of the weight; levels of {verdict.held_out} "
        f"held-out frames: median {verdict.before[0]:.2f} to {verdict.after[0]:.2f}, 95 % quantile {verdict.before[1]:.2f} to "
        f"{verdict.after[1]:.2f}; {verdict.alarms[1]} of {verdict.alarms[0]} alarms raised again)"
    )
