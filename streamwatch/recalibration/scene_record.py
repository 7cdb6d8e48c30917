"""One scene while it is watched: what its fields hold, day after day."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from streamwatch.config.schema import Config
from streamwatch.detection.live_measures import Stretch
from streamwatch.events.held_peaks import HeldPeak, HoldRules
from streamwatch.events.live_peaks import LivePeakFinder
from streamwatch.model.calibration.extremes import MARGIN
from streamwatch.model.calibration.live_footage import extended, latest, window_s
from streamwatch.model.calibration.thresholds import DAY_S, END_TO_START
from streamwatch.recalibration.basis import FieldOfZone
from streamwatch.records import LivePeaks

LINKED_TO_START = 1 / MARGIN
"""What is not a quarter more is not plainly something else: the same thing, still there."""


def hold_rules(config: Config, camera: str) -> HoldRules:
    """By what a camera's peaks are found."""
    settings = config.settings(camera)
    closing_s = max(settings.end_delay, settings.cooldown)
    return HoldRules(END_TO_START, settings.min_duration, settings.end_delay, closing_s, LINKED_TO_START)


@dataclass
class FieldRecord:
    """One field of one zone.

    Attributes:
        settled: what nothing to come can change.
        episodes: finds peaks, each once however long a thing stays.
        events: finds peaks as the state machine would open events.
    """

    settled: LivePeaks
    episodes: LivePeakFinder
    events: LivePeakFinder
    _last_s: float | None = None
    _live: LivePeaks | None = None

    def add(self, stretches: Iterable[Stretch]) -> None:
        """Take what it measured since."""
        exposure: dict[int, float] = {}
        for stretch in stretches:
            at_s = stretch.stream.at_s
            before_s = self._last_s if stretch.goes_on else None
            day, self._last_s = int(at_s[-1] // DAY_S), float(at_s[-1])
            exposure[day] = exposure.get(day, 0.0) + float(at_s[-1] - (at_s[0] if before_s is None else before_s))
            for finder in (self.episodes, self.events):
                finder.add(stretch.stream, goes_on=before_s is not None)
        self.settled = extended(self.settled, _timed(self.episodes.settle()), _timed(self.events.settle()), exposure)
        self._live = None

    def live(self) -> LivePeaks:
        """All that it held, as far as it is known."""
        if self._live is None:
            self._live = extended(self.settled, _timed(self.episodes.open()), _timed(self.events.open()), {})
        return self._live

    def keep_latest(self, watched_s: float) -> bool:
        """Forget all but the latest so many watched seconds; whether anything was forgotten."""
        kept = latest(self.settled, watched_s)
        if kept == self.settled:
            return False
        self.settled, self._live = kept, None
        return True


def _timed(peaks: Iterable[HeldPeak]) -> list[tuple[float, float]]:
    return [(peak.value, peak.at_s) for peak in peaks]


@dataclass
class SceneRecord:
    """The fields of a scene's zones, by zone and field.

    Attributes:
        starts: from where events are told, as far as that is known.
    """

    fields: Mapping[FieldOfZone, FieldRecord]
    rules: HoldRules
    starts: Mapping[FieldOfZone, float] = field(default_factory=dict)

    @staticmethod
    def of(watched: Sequence[LivePeaks], bases: Mapping[FieldOfZone, str], rules: HoldRules) -> SceneRecord:
        """Go on from what is known; what rests on another basis is left behind."""
        known = {(of.zone, of.field): of for of in watched}
        fields = {}
        for (zone, name), basis in bases.items():
            before = known.get((zone, name))
            live = before if before and before.basis == basis else LivePeaks(zone, name, basis)
            each = replace(rules, linked_to_start=None)
            fields[zone, name] = FieldRecord(live, LivePeakFinder(rules), LivePeakFinder(each))
        return SceneRecord(fields, rules)

    def add(self, measured: Mapping[FieldOfZone, Sequence[Stretch]]) -> None:
        """Take what the scene measured since; fields that it does not know are left out."""
        for key, stretches in measured.items():
            if key in self.fields:
                self.fields[key].add(stretches)

    def live(self) -> tuple[LivePeaks, ...]:
        """All that it held."""
        return tuple(of_field.live() for of_field in self.fields.values())

    def forget_old(self, budgets_per_day: Mapping[str, float]) -> bool:
        """Keep what says something of now, zone by zone; whether anything was forgotten."""
        kept = [of.keep_latest(window_s(budgets_per_day[zone])) for (zone, _), of in self.fields.items()]
        return any(kept)

    @property
    def watched_s(self) -> float:
        """Seconds that the field was watched that was watched longest."""
        return max((of_field.settled.exposure_s for of_field in self.fields.values()), default=0.0)

    def told(self) -> int:
        """How many events reached their threshold."""
        return sum(value >= self.starts.get((of.zone, of.field), float("inf")) for of in self.live() for value, _ in of.events)
