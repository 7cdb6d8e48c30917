"""One scene while it is watched: what its fields hold, day after day."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from streamwatch.config.schema import Config
from streamwatch.detection.live_measures import Stretch
from streamwatch.events.held_peaks import HeldPeak, HoldRules
from streamwatch.events.live_peaks import LivePeakFinder
from streamwatch.model.calibration.extremes import MARGIN
from streamwatch.model.calibration.live_footage import extended, since, window_days
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
    """

    settled: LivePeaks
    finder: LivePeakFinder
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
            self.finder.add(stretch.stream, goes_on=before_s is not None)
        self.settled = extended(self.settled, _timed(self.finder.settle()), exposure)
        self._live = None

    def live(self) -> LivePeaks:
        """All that it held, as far as it is known."""
        if self._live is None:
            self._live = extended(self.settled, _timed(self.finder.open()), {})
        return self._live

    def tell_from(self, start: float) -> None:
        """From this value on events are told, and each counts."""
        self.finder.rules = replace(self.finder.rules, told_from=start)

    def forget_before(self, at_wall_s: float) -> None:
        """Of what is older nothing is said any more."""
        kept = since(self.settled, at_wall_s)
        if kept != self.settled:
            self.settled, self._live = kept, None


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
            fields[zone, name] = FieldRecord(live, LivePeakFinder(rules))
        return SceneRecord(fields, rules)

    def add(self, measured: Mapping[FieldOfZone, Sequence[Stretch]]) -> None:
        """Take what the scene measured since; fields that it does not know are left out."""
        for key, stretches in measured.items():
            if key in self.fields:
                self.fields[key].add(stretches)

    def live(self) -> tuple[LivePeaks, ...]:
        """All that it held."""
        return tuple(of_field.live() for of_field in self.fields.values())

    def forget_old(self, now_wall_s: float, budgets_per_day: Mapping[str, float]) -> None:
        """Keep what says something of now, zone by zone."""
        for (zone, _), of_field in self.fields.items():
            of_field.forget_before(now_wall_s - DAY_S * window_days(budgets_per_day[zone]))

    @property
    def watched_s(self) -> float:
        """Seconds that the field was watched that was watched longest."""
        return max((of_field.settled.exposure_s for of_field in self.fields.values()), default=0.0)

    def tell_from(self, starts: Mapping[FieldOfZone, float]) -> None:
        """Events are told from these thresholds on."""
        self.starts = starts
        for key, start in starts.items():
            if key in self.fields:
                self.fields[key].tell_from(start)

    def told(self) -> int:
        """How many of the peaks reach their threshold."""
        return sum(value >= self.starts.get((of.zone, of.field), float("inf")) for of in self.live() for value, _ in of.peaks)
