"""What came near a threshold without crossing it, by what cameras held while they were watched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from streamwatch.documents import iso_time
from streamwatch.store.live_peaks import load_records
from streamwatch.web.api.documents.events import NearMiss
from streamwatch.web.context import SiteContext

NEAR = 0.6
"""Of the threshold: what normal footage reaches daily is far below it, what crosses it is an event."""


def near_misses(site: SiteContext, cameras: Sequence[str], since_s: float) -> list[NearMiss]:
    """Of these cameras, since a Unix time, the newest first; by the thresholds that are in force now.

    Raises:
        Problem: nothing is watched here; StoreError: the database refuses.
    """
    live = site.require_live()
    starts = {
        (camera, zone, judged.known.field): judged.thresholds.start
        for camera in cameras
        for zone, calibrated in live.cameras.zones_of(camera).items()
        for judged in calibrated.fields
    }
    return sorted(_found(site, cameras, since_s, starts), key=lambda found: found.at, reverse=True)


def _found(
    site: SiteContext, cameras: Sequence[str], since_s: float, starts: dict[tuple[str, str, str], float]
) -> Iterator[NearMiss]:
    for (camera, _), record in load_records(site.stores.database, cameras).items():
        for of in record.watched:
            threshold = starts.get((camera, of.zone, of.field))
            for value, at_s in of.events if threshold else ():
                if threshold and at_s >= since_s and NEAR * threshold <= value < threshold:
                    yield NearMiss(
                        camera=camera,
                        zone=of.zone or None,
                        field=of.field,
                        at=iso_time(at_s),
                        value=value,
                        threshold=round(threshold, 3),
                        share=round(value / threshold, 3),
                    )
