"""Learning a scene from sources: what `fit` and the demo share."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from streamwatch.clock import Clock
from streamwatch.model.artifact import Provenance
from streamwatch.model.regime import RegimeSorter
from streamwatch.model.rehearsal import Rehearsal
from streamwatch.model.scene import SceneModel
from streamwatch.records import Frame, SourceSummary
from streamwatch.runtime.calibrating import AlarmTerms, calibrated_in_rehearsal
from streamwatch.runtime.engine import Engine
from streamwatch.runtime.footage import Cuts, Exclusion, Footage, expected_frames, readers_of, timeline
from streamwatch.runtime.kept_inputs import InputsKeeper, KeptInputs, open_inputs
from streamwatch.runtime.offline import input_batches
from streamwatch.runtime.outliers import Outlier, find_outliers
from streamwatch.video.opener import Opener


@dataclass(frozen=True)
class Learned:
    """A model that was learned, and from what.

    Attributes:
        cuts: where the files and folders of the footage begin on its time line.
        outliers: stretches of it that stand out, on the time line.
        kept: its model inputs, if they were kept.
        from_kept: nothing was decoded, because they were.
    """

    model: SceneModel
    provenance: Provenance
    summaries: tuple[SourceSummary, ...]
    cuts: Cuts
    outliers: tuple[Outlier, ...]
    kept: KeptInputs | None = None
    from_kept: bool = False


@dataclass(frozen=True)
class Taking:
    """Which frames of the footage are learned.

    Attributes:
        sorter: only those that it takes; None takes all.
        excluded: all but these.
        expected: how many frames that will be; None asks the sources.
        keep_in: where the inputs of all are kept, so that another choice needs no decoding; None keeps none.
    """

    sorter: RegimeSorter | None = None
    excluded: tuple[Exclusion, ...] = ()
    expected: int | None = None
    keep_in: Path | None = None

    def of(self, frames: Iterable[Frame], cuts: Cuts) -> Iterator[Frame]:
        """The frames that are learned."""
        for frame in frames:
            place = cuts.place_of(frame.time_s)
            if any(exclusion.covers(place) for exclusion in self.excluded):
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
    terms: AlarmTerms | None = None,
    taking: Taking | None = None,
    on_frames: Callable[[int], None] | None = None,
) -> Learned:
    """Fit a scene model, or update ``base``, on all sources in one pass, and calibrate it on what it saw.

    Args:
        terms: by what alarms are judged; the default is the whole picture and a configuration's default durations.
        taking: which frames; the default is all.

    Raises:
        SourceError: a source cannot be read; NotEnoughFrames: the footage is too short.
        ModelMismatch: ``base`` was learned from other embeddings.
    """
    model = base or SceneModel(engine.identity, features=footage.features, motion_step_s=footage.motion_step_s)
    seen = replace(footage, features=model.features, motion_step_s=model.motion_step_s)
    engine.identity.require_same(model.identity, where="model to update")
    terms, taking = terms or AlarmTerms(), taking or Taking()
    reading = _Reading(seen, taking, opener, clock)
    expected = taking.expected or reading.expected()
    rehearsal = Rehearsal(terms.zones, None if expected is None or base else expected)
    with closing(reading.frames()) as frames:
        learn = model.update if base else model.fit
        learn(engine.embedder, input_batches(engine, taking.of(frames, reading.cuts), on_frames), rehearsal)
    reading.finish()
    model.regime = taking.sorter.wanted if taking.sorter else model.regime
    model.calibration_ = calibrated_in_rehearsal(model, rehearsal, terms)
    model.levels_ = rehearsal.normal_levels(model.fusion_, model.frames)
    outliers = tuple(find_outliers([s for zone in terms.zones for s in rehearsal.field_stretches(zone, model.frames)]))
    provenance = Provenance(_labels(footage, taking.excluded), clock.wall_s(), reading.footage_s)
    return Learned(model, provenance, reading.summaries, reading.cuts, outliers, reading.kept(), reading.from_kept)


def _labels(footage: Footage, excluded: Sequence[Exclusion]) -> tuple[str, ...]:
    return (*(source.label for source in footage.sources), *(f"without {exclusion}" for exclusion in excluded))


class _Reading:
    """Footage, decoded, or as its model inputs were kept.

    A live source's are taken only for footage of which something is left out: it is learned once more.
    """

    def __init__(self, footage: Footage, taking: Taking, opener: Opener, clock: Clock) -> None:
        self._footage, self._taking, self._opener = footage, taking, opener
        keep_in = self._keep_in = taking.keep_in
        usable = bool(taking.excluded) or not any(source.live for source in footage.sources)
        self._stored = open_inputs(keep_in, footage) if keep_in is not None and usable else None
        self._readers = [] if self._stored else readers_of(footage, "fit", opener, clock)
        self._keeper = InputsKeeper(keep_in, footage) if keep_in is not None and not self._stored else None
        self.cuts = self._stored.cuts if self._stored else Cuts()

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
            return expected_frames(self._footage, self._opener, self._taking.excluded)
        places = map(self.cuts.place_of, self._stored.times_s)
        return sum(not any(e.covers(place) for e in self._taking.excluded) for place in places)

    def frames(self) -> Generator[Frame]:
        if self._stored:
            return self._stored.frames("fit")
        read = timeline(self._footage, self._readers, self.cuts)
        return self._keeper.passing(read) if self._keeper else read

    def finish(self) -> None:
        if self._keeper:
            self._keeper.finish(self.cuts, self.footage_s)

    def kept(self) -> KeptInputs | None:
        return self._stored or (open_inputs(self._keep_in, self._footage) if self._keep_in else None)
