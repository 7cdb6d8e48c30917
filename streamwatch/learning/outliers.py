"""The moments of normal footage that stand out of it: what somebody should look at before it is called normal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from streamwatch.events.decision import EventPolicy
from streamwatch.events.peaks import alarms
from streamwatch.records import ScoreStream

MAX_LISTED = 10
MIN_FRAMES = 50
OUTLIER_SPREADS = 6.0
"""A distance stands out if it is above the median by so many times the way from there down to the 16 % quantile, which is one
standard deviation of a Gaussian. Both are of the footage's lower half, so that outliers do not hide each other. The highest
of the demo's normal footage is 5.6 such ways above, of its van 9.6; of a courtyard in which somebody enters a new place 8.9."""
BRIDGED_S = 2.0


@dataclass(frozen=True, slots=True)
class Outlier:
    """A stretch of the footage's time line that stands out.

    Attributes:
        times_usual: how far its peak is above the median, over how far outliers begin.
    """

    start_s: float
    end_s: float
    peak_s: float
    times_usual: float


def find_outliers(groups: Sequence[Sequence[ScoreStream]]) -> list[Outlier]:
    """The strongest outliers of all groups, at most 10, in the order of the footage; none of footage without any.

    Args:
        groups: distances that are comparable with each other, by models that had not seen the frames
            (``PrequentialScorer.field_stretches``).
    """
    found = sorted((outlier for streams in groups for outlier in _of_group(streams)), key=lambda o: -o.times_usual)
    kept: list[Outlier] = []
    for outlier in found:
        near = [o for o in kept if o.start_s - BRIDGED_S <= outlier.end_s and outlier.start_s <= o.end_s + BRIDGED_S]
        kept = [o for o in kept if o not in near] + [_joined([*near, outlier])]
    return sorted(kept[:MAX_LISTED], key=lambda outlier: outlier.start_s)


def _joined(parts: Sequence[Outlier]) -> Outlier:
    """One stretch that covers all; its peak is the strongest's."""
    strongest = max(parts, key=lambda part: part.times_usual)
    return replace(strongest, start_s=min(part.start_s for part in parts), end_s=max(part.end_s for part in parts))


def _of_group(streams: Sequence[ScoreStream]) -> list[Outlier]:
    distances = np.concatenate([stream.levels for stream in streams]) if streams else np.array([])
    if len(distances) < MIN_FRAMES:
        return []
    low, median = (float(q) for q in np.quantile(distances, (0.16, 0.5)))
    limit = median + OUTLIER_SPREADS * (median - low)
    if low >= median:
        return []
    rules = EventPolicy(limit, (median + limit) / 2, min_duration_s=0.0, end_delay_s=BRIDGED_S, cooldown_s=BRIDGED_S)
    found = [alarm for stream in streams for alarm in alarms(stream, rules)]
    return [Outlier(a.start_s, a.end_s, a.peak_s, (a.peak - median) / (limit - median)) for a in found]
