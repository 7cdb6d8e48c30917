"""Events in the database: written as they change, read back by time, camera and state."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from sqlalchemy import Engine, RowMapping, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from streamwatch.errors import StoreError
from streamwatch.records import Box, Event, EventChange, Notice, Peak
from streamwatch.store.tables import events, notices


class EventStore:
    """The events table.

    Args:
        engine: an open, migrated database; see ``open_database``.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def record(self, change: EventChange) -> None:
        """Write an event as ``change`` leaves it, in one transaction.

        Raises:
            StoreError: the database refused, or an event id occurs twice.
        """
        row = _row(change.event)
        try:
            with self._engine.begin() as connection:
                if change.type == "anomaly.started":
                    connection.execute(events.insert().values(row))
                else:
                    connection.execute(update(events).where(events.c.id == change.event.id).values(row))
        except IntegrityError as error:
            raise StoreError(f"event {change.event.id} is already stored") from error
        except SQLAlchemyError as error:
            raise StoreError(f"an event could not be written ({error.__class__.__name__})", hint="check the disk") from error

    def note(self, notice: Notice) -> None:
        """Write a notice.

        Raises:
            StoreError: the database refused.
        """
        row = {"id": notice.id, "type": notice.type, "camera": notice.camera, "at_wall_s": notice.at_wall_s}
        try:
            with self._engine.begin() as connection:
                connection.execute(notices.insert().values(**row, detail=dict(notice.detail)))
        except SQLAlchemyError as error:
            raise StoreError(f"a notice could not be written ({error.__class__.__name__})", hint="check the disk") from error

    def list_notices(self, *, limit: int = 100) -> list[Notice]:
        """The newest notices first."""
        query = select(notices).order_by(notices.c.at_wall_s.desc()).limit(limit)
        with self._engine.connect() as connection:
            rows = [dict(row) for row in connection.execute(query).mappings()]
        return [Notice(**{**row, "detail": tuple(row["detail"].items())}) for row in rows]

    def list_events(self, *, camera: str | None = None, open_only: bool = False, limit: int = 100) -> list[Event]:
        """The newest events first, at most ``limit``."""
        query = select(events).order_by(events.c.start_wall_s.desc()).limit(limit)
        if camera is not None:
            query = query.where(events.c.camera == camera)
        if open_only:
            query = query.where(events.c.end_wall_s.is_(None))
        with self._engine.connect() as connection:
            return [_event(row) for row in connection.execute(query).mappings()]

    def close_left_open(self) -> list[Event]:
        """Close events that a process left open when it died, with reason ``crash``, at their peak.

        The peak is the last moment that is known of such an event.
        """
        closed: list[Event] = []
        for event in self.list_events(open_only=True, limit=1_000_000):
            ended = replace(event, end_wall_s=event.peak.wall_s, end_time_s=event.peak.time_s, reason="crash")
            self.record(EventChange("anomaly.ended", ended, event.peak.wall_s))
            closed.append(ended)
        return closed

    def close(self) -> None:
        """Release all connections."""
        self._engine.dispose()


def _row(event: Event) -> dict[str, Any]:
    row = asdict(event)
    peak = row.pop("peak")
    row.update(peak_score=peak["score"], peak_wall_s=peak["wall_s"], peak_time_s=peak["time_s"])
    row.update(boxes=[*peak["boxes"]], fields=dict(peak["fields"]))
    return row


def _event(row: RowMapping) -> Event:
    values = dict(row)
    boxes = tuple(Box(**box) for box in values.pop("boxes"))
    fields = tuple(values.pop("fields").items())
    peak = Peak(values.pop("peak_score"), values.pop("peak_wall_s"), values.pop("peak_time_s"), boxes, fields)
    return Event(peak=peak, **values)
