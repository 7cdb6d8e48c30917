"""What cameras held while they were watched, in the database: written by the daemon, taken back by a command."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, RowMapping, select, update

from streamwatch.errors import UsageError
from streamwatch.records import LivePeaks
from streamwatch.store.sessions import reading, writing
from streamwatch.store.tables import live_peaks

SceneKey = tuple[str, str | None]
"""Camera and regime; None where regimes are not told apart."""


@dataclass(frozen=True, slots=True)
class LiveRecord:
    """One scene's, zone by zone and field by field.

    Attributes:
        watched: all until now.
        applied: what the thresholds in force were derived from.
        before: what those before them were; None if there were none.
        generation: counts what other processes did to it.
    """

    watched: tuple[LivePeaks, ...] = ()
    applied: tuple[LivePeaks, ...] = ()
    before: tuple[LivePeaks, ...] | None = None
    generation: int = 0


def load_records(engine: Engine, cameras: Iterable[str]) -> dict[SceneKey, LiveRecord]:
    """The records of these cameras.

    Raises:
        StoreError: the database refused.
    """
    query = select(live_peaks).where(live_peaks.c.camera.in_(list(cameras)))
    with reading(engine, "what cameras held") as connection:
        return {(row["camera"], row["regime"] or None): _record(row) for row in connection.execute(query).mappings()}


def save_records(engine: Engine, records: Mapping[SceneKey, LiveRecord]) -> set[SceneKey]:
    """Write records in one transaction, but those that another process changed since they were loaded: these are returned.

    Raises:
        StoreError: the database refused.
    """
    with writing(engine, "what cameras held could not be written") as connection:
        return {key for key, record in records.items() if not _written(connection, key, record)}


def undo_record(engine: Engine, key: SceneKey) -> LiveRecord:
    """Forget what a scene held since its thresholds before the present ones; what is left.

    Raises:
        UsageError: they were not changed; StoreError: the database refused.
    """
    with writing(engine, "what the camera held could not be written") as connection:
        row = connection.execute(select(live_peaks).where(*_is(key)).with_for_update()).mappings().first()
        record = _record(row) if row else LiveRecord()
        if record.before is None:
            raise UsageError(f"the daemon changed no threshold of {key[0]} that could be taken back")
        left = LiveRecord(record.before, record.before, None, record.generation + 1)
        connection.execute(update(live_peaks).where(*_is(key)).values(_row(left)))
    return left


def _written(connection: Connection, key: SceneKey, record: LiveRecord) -> bool:
    unchanged = (*_is(key), live_peaks.c.generation == record.generation)
    if connection.execute(update(live_peaks).where(*unchanged).values(_row(record))).rowcount:
        return True
    if connection.execute(select(live_peaks.c.generation).where(*_is(key))).first() is not None:
        return False
    connection.execute(live_peaks.insert().values(camera=key[0], regime=key[1] or "", **_row(record)))
    return True


def _is(key: SceneKey) -> tuple[Any, ...]:
    return live_peaks.c.camera == key[0], live_peaks.c.regime == (key[1] or "")


def _row(record: LiveRecord) -> dict[str, Any]:
    documents = {"watched": _documents(record.watched), "applied": _documents(record.applied)}
    before = None if record.before is None else _documents(record.before)
    return {"generation": record.generation, **documents, "before": before}


def _record(row: RowMapping) -> LiveRecord:
    before = None if row["before"] is None else _peaks(row["before"])
    return LiveRecord(_peaks(row["watched"]), _peaks(row["applied"]), before, row["generation"])


def _documents(peaks: tuple[LivePeaks, ...]) -> list[dict[str, Any]]:
    """Values to six digits and times to the second, which is what they mean."""
    return [
        {
            "zone": of.zone,
            "field": of.field,
            "basis": of.basis,
            "peaks": [[float(f"{value:.6g}"), round(at_s)] for value, at_s in of.peaks],
            "exposure": [[day, round(seconds, 1)] for day, seconds in of.exposure],
        }
        for of in peaks
    ]


def _peaks(documents: list[dict[str, Any]]) -> tuple[LivePeaks, ...]:
    return tuple(
        LivePeaks(
            of["zone"],
            of["field"],
            of["basis"],
            tuple((float(value), float(at_s)) for value, at_s in of["peaks"]),
            tuple((int(day), float(seconds)) for day, seconds in of["exposure"]),
        )
        for of in documents
    )
