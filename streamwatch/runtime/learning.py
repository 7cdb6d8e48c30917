"""Learning a scene from sources: what `fit` and the demo share."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace

from streamwatch.clock import Clock
from streamwatch.model.artifact import Provenance
from streamwatch.model.rehearsal import Rehearsal
from streamwatch.model.scene import SceneModel
from streamwatch.records import SourceSummary
from streamwatch.runtime.calibrating import AlarmTerms, calibrated_in_rehearsal
from streamwatch.runtime.engine import Engine
from streamwatch.runtime.footage import Footage, expected_frames, readers_of, timeline
from streamwatch.runtime.offline import input_batches
from streamwatch.video.opener import Opener


@dataclass(frozen=True)
class Learned:
    """A model that was learned, and from what."""

    model: SceneModel
    provenance: Provenance
    summaries: tuple[SourceSummary, ...]


def learn_scene(
    footage: Footage,
    engine: Engine,
    *,
    opener: Opener,
    clock: Clock,
    base: SceneModel | None = None,
    terms: AlarmTerms | None = None,
    on_frames: Callable[[int], None] | None = None,
) -> Learned:
    """Fit a scene model, or update ``base``, on all sources in one pass, and calibrate it on what it saw.

    Args:
        terms: by what alarms are judged; the default is the whole picture and a configuration's default durations.

    Raises:
        SourceError: a source cannot be read; NotEnoughFrames: the footage is too short.
        ModelMismatch: ``base`` was learned from other embeddings.
    """
    model = base or SceneModel(engine.identity, features=footage.features, motion_step_s=footage.motion_step_s)
    seen = replace(footage, features=model.features, motion_step_s=model.motion_step_s)
    readers = readers_of(seen, "fit", opener, clock)
    engine.identity.require_same(model.identity, where="model to update")
    learn = model.update if base else model.fit
    terms = terms or AlarmTerms()
    expected = expected_frames(footage, opener)
    rehearsal = Rehearsal(terms.zones, None if expected is None or base else expected)
    with closing(timeline(readers, footage.limit_s)) as frames:
        learn(engine.embedder, input_batches(engine, frames, on_frames), rehearsal)
    model.calibration_ = calibrated_in_rehearsal(model, rehearsal, terms)
    summaries = tuple(reader.summary() for reader in readers)
    labels = tuple(source.label for source in footage.sources)
    provenance = Provenance(labels, clock.wall_s(), sum(s.duration_s for s in summaries))
    return Learned(model, provenance, summaries)
