"""What cameras held while they were watched, in the database: written by the daemon, taken back by a command."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, RowMapping, select, update

from streamwatch.records import LivePeaks
from streamwatch.store.sessions import reading, writing
from streamwatch.store.tables import live_peaks

SceneKey = tuple[str, str | None]
"""Camera and regime; None where regimes are not told apart."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What thresholds were derived from until a Unix time."""

    until_wall_s: float
    applied: tuple[LivePeaks, ...]


@dataclass(frozen=True, slots=True)
class LiveRecord:
    """One scene's, zone by zone and field by field.

    Attributes:
        watched: all until now.
        applied: what the thresholds in force were derived from.
        earlier: what those before them were, the latest first.
        generation: counts what other processes did to it.
    """

    watched: tuple[LivePeaks, ...] = ()
    applied: tuple[LivePeaks, ...] = ()
    earlier: tuple[Snapshot, ...] = ()
    generation: int = 0


def load_records(engine: Engine, cameras: Iterable[str]) -> dict[SceneKey, LiveRecord]:
    """The records of these cameras.

    Raises:
        StoreError: the database refused.
    """
    query = select(live_peaks).where(live_peaks.c.camera.in_(list(cameras)))
    with reading(engine, "what cameras held") as connection:
        return {_key(row): _record(row) for row in connection.execute(query).mappings()}


def load_generations(engine: Engine) -> dict[SceneKey, int]:
    """How often other processes changed each record.

    Raises:
        StoreError: the database refused.
    """
    columns = live_peaks.c.camera, live_peaks.c.regime, live_peaks.c.generation
    with reading(engine, "what cameras held") as connection:
        return {_key(row): row["generation"] for row in connection.execute(select(*columns)).mappings()}


def save_watched(engine: Engine, records: Mapping[SceneKey, LiveRecord]) -> set[SceneKey]:
    """Write what was watched of many records in one transaction, but of those that another process changed: these are returned.

    Raises:
        StoreError: the database refused.
    """
    with writing(engine, "what cameras held could not be written") as connection:
        return {
            key
            for key, record in records.items()
            if not _written(connection, key, record, {"watched": _documents(record.watched)})
        }


def save_record(engine: Engine, key: SceneKey, record: LiveRecord) -> bool:
    """Write all of a record; False if another process changed it.

    Raises:
        StoreError: the database refused.
    """
    with writing(engine, "what the camera held could not be written") as connection:
        return _written(connection, key, record, _row(record))


def replace_record(engine: Engine, key: SceneKey, record: LiveRecord) -> bool:
    """Put another record in the place of one that was just read; False if it was changed meanwhile.

    Whoever writes it next without having read it again is refused.

    Raises:
        StoreError: the database refused.
    """
    unchanged = (*_is(key), live_peaks.c.generation == record.generation)
    values = {**_row(record), "generation": record.generation + 1}
    with writing(engine, "what the camera held could not be written") as connection:
        return bool(connection.execute(update(live_peaks).where(*unchanged).values(values)).rowcount)


def _written(connection: Connection, key: SceneKey, record: LiveRecord, values: Mapping[str, Any]) -> bool:
    unchanged = (*_is(key), live_peaks.c.generation == record.generation)
    if connection.execute(update(live_peaks).where(*unchanged).values(values)).rowcount:
        return True
    if connection.execute(select(live_peaks.c.generation).where(*_is(key))).first() is not None:
        return False
    connection.execute(live_peaks.insert().values(camera=key[0], regime=key[1] or "", **_row(record)))
    return True


def _key(row: RowMapping) -> SceneKey:
    return row["camera"], row["regime"] or None


def _is(key: SceneKey) -> tuple[Any, ...]:
    return live_peaks.c.camera == key[0], live_peaks.c.regime == (key[1] or "")


def _row(record: LiveRecord) -> dict[str, Any]:
    return {
        "generation": record.generation,
        "watched": _documents(record.watched),
        "applied": _documents(record.applied),
        "earlier": [{"until": of.until_wall_s, "applied": _documents(of.applied)} for of in record.earlier],
    }


def _record(row: RowMapping) -> LiveRecord:
    earlier = tuple(Snapshot(float(of["until"]), _peaks(of["applied"])) for of in row["earlier"])
    return LiveRecord(_peaks(row["watched"]), _peaks(row["applied"]), earlier, row["generation"])


def _documents(peaks: tuple[LivePeaks, ...]) -> list[dict[str, Any]]:
    """Values to six digits and times to a tenth of a second."""

    def short(values: tuple[tuple[float, float], ...]) -> list[list[float]]:
        return [[float(f"{value:.6g}"), round(at_s, 1)] for value, at_s in values]

    return [
        {
            "zone": of.zone,
            "field": of.field,
            "basis": of.basis,
            "peaks": short(of.peaks),
            "events": short(of.events),
            "exposure": [[day, round(seconds, 1)] for day, seconds in of.exposure],
        }
        for of in peaks
    ]


def _peaks(documents: list[dict[str, Any]]) -> tuple[LivePeaks, ...]:
    def timed(values: list[list[float]]) -> tuple[tuple[float, float], ...]:
        return tuple((float(value), float(at_s)) for value, at_s in values)

    return tuple(
        LivePeaks(
            of["zone"],
            of["field"],
            of["basis"],
            timed(of["peaks"]),
            tuple((int(day), float(seconds)) for day, seconds in of["exposure"]),
            timed(of["events"]),
        )
        for of in documents
    )
