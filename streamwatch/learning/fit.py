"""Learning a scene from sources: what `fit` and the demo share."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from streamwatch.clock import Clock
from streamwatch.inference.engine import Engine
from streamwatch.inference.offline import input_batches
from streamwatch.learning.derive_calibration import calibrate_prequentially
from streamwatch.learning.footage import Footage, expected_frames, readers_of, timeline
from streamwatch.learning.frame_cache import FrameCacheReader, FrameCacheWriter, open_frame_cache
from streamwatch.learning.outliers import Outlier, find_outliers
from streamwatch.learning.segment_index import Exclusion, SegmentIndex
from streamwatch.model.artifact.serialization import Provenance
from streamwatch.model.calibration.prequential import PrequentialScorer
from streamwatch.model.fitting import fit, update
from streamwatch.model.regime import RegimeSorter
from streamwatch.model.scene import SceneModel
from streamwatch.model.scoring.motion_field import MotionField
from streamwatch.records import Frame, SourceSummary
from streamwatch.scenes.calibration_policy import CalibrationPolicy
from streamwatch.video.streams.opener import Opener


@dataclass(frozen=True)
class FitResult:
    """A model that was learned, and from what.

    Attributes:
        index: where the files and folders of the footage begin on its time line.
        outliers: stretches of it that stand out, on the time line.
        kept: its model inputs, if they were kept.
        from_kept: nothing was decoded, because they were.
    """

    model: SceneModel
    provenance: Provenance
    summaries: tuple[SourceSummary, ...]
    index: SegmentIndex
    outliers: tuple[Outlier, ...]
    kept: FrameCacheReader | None = None
    from_kept: bool = False


@dataclass(frozen=True)
class Read:
    """What was read of footage; see ``FitResult``."""

    index: SegmentIndex
    summaries: tuple[SourceSummary, ...]
    footage_s: float
    kept: FrameCacheReader | None = None
    from_kept: bool = False


@dataclass(frozen=True)
class FrameSelection:
    """Which frames of the footage are learned.

    Attributes:
        sorter: only those that it takes; None takes all.
        excluded: all but these.
        expected: how many frames that will be; None asks the sources.
        cache_folder: where the inputs of all are kept, so that another choice needs no decoding; None keeps none.
    """

    sorter: RegimeSorter | None = None
    excluded: tuple[Exclusion, ...] = ()
    expected: int | None = None
    cache_folder: Path | None = None

    def of(self, frames: Iterable[Frame], index: SegmentIndex) -> Iterator[Frame]:
        """The frames that are learned."""
        for frame in frames:
            position = index.position_of(frame.time_s)
            if any(exclusion.covers(position) for exclusion in self.excluded):
                continue
            if self.sorter is None or self.sorter.takes(frame.pixels, frame.time_s):
                yield frame


def learn_scene(
    footage: Footage,
    engine: Engine,
    *,
    opener: Opener,
    clock: Clock,
    base: SceneModel | None = None,
    policy: CalibrationPolicy | None = None,
    selection: FrameSelection | None = None,
    on_frames: Callable[[int], None] | None = None,
) -> FitResult:
    """Fit a scene model, or update ``base``, on all sources in one pass, and calibrate it on what it saw.

    Args:
        policy: by what alarms are judged; the default is the whole picture and a configuration's default durations.
        selection: which frames; the default is all.

    Raises:
        SourceError: a source cannot be read; NotEnoughFrames: the footage is too short.
        ModelMismatch: ``base`` was learned from other embeddings.
    """
    model, seen = model_to_fit(footage, engine, base)
    policy, selection = policy or CalibrationPolicy(), selection or FrameSelection()
    reading = _Reading(seen, selection, opener, clock)
    expected = selection.expected or reading.expected()
    prequential = PrequentialScorer(policy.zones, None if expected is None or base else expected)
    with closing(reading.frames()) as frames:
        learn = update if base else fit
        learn(model, engine.embedder, input_batches(engine, selection.of(frames, reading.index), on_frames), prequential)
    reading.finish()
    model.regime = selection.sorter.wanted if selection.sorter else model.regime
    read = Read(reading.index, reading.summaries, reading.footage_s, reading.kept(), reading.from_kept)
    return concluded(model, prequential, policy, read, provenance_of(footage, selection.excluded, read, clock))


def model_to_fit(footage: Footage, engine: Engine, base: SceneModel | None) -> tuple[SceneModel, Footage]:
    """The model, and the footage as it sees it.

    Raises:
        ModelMismatch: ``base`` was learned from other embeddings.
    """
    model = base or SceneModel(engine.identity, features=footage.features, motion_step_s=footage.motion_step_s)
    engine.identity.require_same(model.identity, where="model to update")
    return model, replace(footage, features=model.features, motion_step_s=model.motion_step_s)


def concluded(
    model: SceneModel, prequential: PrequentialScorer, policy: CalibrationPolicy, read: Read, provenance: Provenance
) -> FitResult:
    """A model whose fields are fitted, calibrated by what was scored while it was learned."""
    model.levels_ = None
    calibrate_prequentially(model, prequential, policy)
    size = model.motion_.size_cells if isinstance(model.motion_, MotionField) else None
    stretches = [s for zone in policy.zones for s in prequential.field_stretches(zone, model.frames, size)]
    outliers = tuple(find_outliers(stretches))
    return FitResult(model, provenance, read.summaries, read.index, outliers, read.kept, read.from_kept)


def provenance_of(footage: Footage, excluded: Sequence[Exclusion], read: Read, clock: Clock) -> Provenance:
    """What a model file says of where its model comes from."""
    now_s = clock.wall_s()
    return Provenance(_labels(footage, excluded), now_s, read.footage_s, now_s)


def _labels(footage: Footage, excluded: Sequence[Exclusion]) -> tuple[str, ...]:
    return (*(source.label for source in footage.sources), *(f"without {exclusion}" for exclusion in excluded))


class _Reading:
    """Footage, decoded, or as its model inputs were kept.

    A live source's are taken only for footage of which something is left out: it is learned once more.
    """

    def __init__(self, footage: Footage, selection: FrameSelection, opener: Opener, clock: Clock) -> None:
        self._footage, self._selection, self._opener = footage, selection, opener
        cache_folder = self._cache_folder = selection.cache_folder
        usable = bool(selection.excluded) or not any(source.live for source in footage.sources)
        self._stored = open_frame_cache(cache_folder, footage) if cache_folder is not None and usable else None
        self._readers = [] if self._stored else readers_of(footage, "fit", opener, clock)
        self._cache_writer = FrameCacheWriter(cache_folder, footage) if cache_folder is not None and not self._stored else None
        self.index = self._stored.index if self._stored else SegmentIndex()

    @property
    def from_kept(self) -> bool:
        return self._stored is not None

    @property
    def summaries(self) -> tuple[SourceSummary, ...]:
        return tuple(reader.summary() for reader in self._readers)

    @property
    def footage_s(self) -> float:
        return self._stored.footage_s if self._stored else sum(summary.duration_s for summary in self.summaries)

    def expected(self) -> int | None:
        if not self._stored:
            return expected_frames(self._footage, self._opener, self._selection.excluded)
        positions = map(self.index.position_of, self._stored.times_s)
        return sum(not any(e.covers(position) for e in self._selection.excluded) for position in positions)

    def frames(self) -> Generator[Frame]:
        if self._stored:
            return self._stored.frames("fit")
        read = timeline(self._footage, self._readers, self.index)
        return self._cache_writer.passing(read) if self._cache_writer else read

    def finish(self) -> None:
        if self._cache_writer:
            self._cache_writer.finish(self.index, self.footage_s)

    def kept(self) -> FrameCacheReader | None:
        return self._stored or (open_frame_cache(self._cache_folder, self._footage) if self._cache_folder else None)
