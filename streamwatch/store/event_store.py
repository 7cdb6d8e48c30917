"""Events in the database: written as they change, read back by time, camera and state."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from sqlalchemy import Connection, Engine, RowMapping, Select, Table, bindparam, delete, false, func, select, tuple_, update

from streamwatch.enums import EndReason, EventType, Severity
from streamwatch.errors import UsageError
from streamwatch.records import Box, Event, EventChange, LayerShare, Notice, Peak, Reason
from streamwatch.store.outbox.messages import NewMessage, insert_messages
from streamwatch.store.processes.leases import require_token
from streamwatch.store.sessions import reading, writing
from streamwatch.store.tables import events, notices

_IDS_AT_ONCE = 500
"""In one statement: SQLite takes 999 parameters."""


class MessageRouter(Protocol):
    """Says whom to tell of what; see ``alerts.router.NotificationRouter``."""

    def of_change(self, change: EventChange) -> Sequence[NewMessage]:
        """The messages that an event's change is worth."""
        ...

    def of_notice(self, notice: Notice) -> Sequence[NewMessage]:
        """The messages that a notice is worth."""
        ...


@dataclass(frozen=True, slots=True)
class EventQuery:
    """Which events; None asks for all.

    Attributes:
        since_s, until_s: Unix times that the start lies between (the second excluded).
        state: ``open`` or ``ended``.
        before: (start_wall_s, id) of the last event of the page before.
    """

    camera: str | None = None
    severity: str | None = None
    since_s: float | None = None
    until_s: float | None = None
    state: str | None = None
    label: str | None = None
    before: tuple[float, str] | None = None
    limit: int = 100


def _select(query: EventQuery) -> Select[Any]:
    c = events.c
    equal = ((c.camera, query.camera), (c.severity, query.severity), (c.label, query.label))
    conditions = [column == value for column, value in equal if value is not None]
    if query.since_s is not None:
        conditions.append(c.start_wall_s >= query.since_s)
    if query.until_s is not None:
        conditions.append(c.start_wall_s < query.until_s)
    if query.before is not None:
        conditions.append(tuple_(c.start_wall_s, c.id) < tuple_(*query.before))
    if query.state is not None:
        conditions.append(c.end_wall_s.is_(None) if query.state == "open" else c.end_wall_s.is_not(None))
    return select(events).where(*conditions).order_by(c.start_wall_s.desc(), c.id.desc()).limit(query.limit)


Record = tuple[EventChange | Notice, int | None]
"""What happened, and the token that its camera's lease had then; None where cameras are not leased."""


class EventStore:
    """The events table.

    Args:
        engine: an open, migrated database; see ``open_database``.
        router: says whom to tell of what; None tells nobody.
        token_of: gives the token that a camera's lease had when this process last held it; None where cameras are not leased.
    """

    def __init__(
        self,
        engine: Engine,
        router: MessageRouter | None = None,
        token_of: Callable[[str], int | None] = lambda _: None,
    ) -> None:
        self._engine, self._router, self._token_of = engine, router, token_of

    def token_of(self, camera: str) -> int | None:
        """What of a camera is recorded with from now on; see ``record``."""
        return self._token_of(camera)

    def record(self, change: EventChange, token: int | None = None) -> None:
        """Write an event as ``change`` leaves it, and whom to tell of it, in one transaction.

        Args:
            token: of the camera's lease when the change was made; None where cameras are not leased.

        Raises:
            StoreError: the database refused; AlreadyStored: it holds this already; LeaseLost: the camera is another process's.
        """
        self.record_all([(change, token)])

    def record_notice(self, notice: Notice, token: int | None = None) -> None:
        """Write a notice, and whom to tell of it, in one transaction; arguments and errors as ``record``."""
        self.record_all([(notice, token)])

    def record_all(self, records: Sequence[Record]) -> None:
        """Write what happened, in its order, and whom to tell of it, in one transaction: all of it or nothing.

        Raises:
            StoreError: the database refused; and as ``record`` for each.
        """
        with writing(self._engine, _failure(records)) as connection:
            _insert(connection, notices, [_notice_row(item) for item, _ in records if isinstance(item, Notice)])
            changes = [item for item, _ in records if isinstance(item, EventChange)]
            # The starts first, at once: what else there is of an event comes after its start.
            _insert(connection, events, [_row(one.event) for one in changes if one.type == EventType.ANOMALY_STARTED])
            for change in changes:
                if change.type != EventType.ANOMALY_STARTED:
                    _update(connection, change.event)
            if self._router:
                insert_messages(connection, [message for item, _ in records for message in _told(self._router, item)])
            for camera, token in sorted({(_camera(item), token) for item, token in records if token is not None}):
                require_token(connection, camera, token)

    def list_events(self, query: EventQuery | None = None) -> list[Event]:
        """The events that ``query`` asks for, the newest first."""
        with reading(self._engine, "events") as connection:
            return [_event(row) for row in connection.execute(_select(query or EventQuery())).mappings()]

    def find(self, event_id: str) -> Event:
        """One event, by its id, the only one that begins with it, or ``latest``, the one that began last.

        Raises:
            UsageError: there is none, or more than one.
        """
        if event_id == "latest":
            return _latest(self.list_events(EventQuery(limit=1)))
        query = select(events).where(events.c.id >= event_id, events.c.id < event_id + "~").limit(2)
        with reading(self._engine, "events") as connection:
            found = [_event(row) for row in connection.execute(query).mappings()]
        if len(found) != 1:
            what = "more than one event begins" if found else "no event begins"
            raise UsageError(f"{what} with {event_id!r}", hint="`streamwatch events list` shows them")
        return found[0]

    def label(self, event_id: str, label: str | None) -> None:
        """Write down what a person says of an event; None takes it back.

        Raises:
            StoreError: the database refused.
        """
        with writing(self._engine, "the label could not be written") as connection:
            connection.execute(update(events).where(events.c.id == event_id).values(label=label))

    def mark_exported(self, event_ids: Sequence[str]) -> None:
        """Write down that events were exported: retention keeps them.

        Raises:
            StoreError: the database refused.
        """
        with writing(self._engine, "the export could not be noted") as connection:
            for at in range(0, len(event_ids), _IDS_AT_ONCE):
                ids = event_ids[at : at + _IDS_AT_ONCE]
                connection.execute(update(events).where(events.c.id.in_(ids)).values(exported=True))

    def expendable(self, *, before_s: float, limit: int) -> list[str]:
        """Ids of events that ended before a Unix time, were neither labelled nor exported, the oldest first.

        Raises:
            StoreError: the database refused.
        """
        c = events.c
        query = select(c.id).where(c.end_wall_s < before_s, c.label.is_(None), c.exported.is_(false()))
        with reading(self._engine, "events") as connection:
            return list(connection.execute(query.order_by(c.start_wall_s, c.id).limit(limit)).scalars())

    def newest_wall_s(self) -> float | None:
        """When the newest event began or notice came, a Unix time; None if there is neither.

        Raises:
            StoreError: the database refused.
        """
        with reading(self._engine, "events") as connection:
            times = [connection.scalar(select(func.max(column))) for column in (events.c.start_wall_s, notices.c.at_wall_s)]
        return max((float(at_s) for at_s in times if at_s is not None), default=None)

    def known(self, event_ids: Sequence[str], *, expendable: bool = False) -> set[str]:
        """Which of these events are stored; only those that nobody labelled or exported, and that have ended, if asked.

        Raises:
            StoreError: the database refused.
        """
        c, found = events.c, set[str]()
        free = (c.end_wall_s.is_not(None), c.label.is_(None), c.exported.is_(false())) if expendable else ()
        with reading(self._engine, "events") as connection:
            for at in range(0, len(event_ids), _IDS_AT_ONCE):
                query = select(c.id).where(c.id.in_(event_ids[at : at + _IDS_AT_ONCE]), *free)
                found.update(connection.execute(query).scalars())
        return found

    def forget(self, event_ids: Sequence[str]) -> None:
        """Delete events.

        Raises:
            StoreError: the database refused.
        """
        with writing(self._engine, "events could not be deleted") as connection:
            connection.execute(delete(events).where(events.c.id.in_(event_ids)))

    def close_left_open(self, cameras: Collection[str] | None = None) -> list[Event]:
        """Close events that a process left open when it died, with reason ``crash``, at their peak.

        The peak is the last moment that is known of such an event.

        Args:
            cameras: only of these, because other processes write here too; None is all.

        Raises:
            StoreError: the database refused; LeaseLost: a camera is another process's.
        """
        left = self.list_events(EventQuery(state="open", limit=1_000_000))
        closed = [event.crashed() for event in left if cameras is None or event.camera in cameras]
        for at in range(0, len(closed), _IDS_AT_ONCE):  # a transaction each would be a minute for some ten thousand
            with writing(self._engine, "what a crash left open could not be closed") as connection:
                part = closed[at : at + _IDS_AT_ONCE]
                _close(connection, self._router, part)
                for camera in sorted({event.camera for event in part}):
                    if (token := self._token_of(camera)) is not None:
                        require_token(connection, camera, token)
        return closed

    def close(self) -> None:
        """Release all connections."""
        self._engine.dispose()


def _latest(newest: Sequence[Event]) -> Event:
    if not newest:
        raise UsageError("there is no event yet")
    return newest[0]


def write_note(engine: Engine, event_id: str, note: str | None) -> None:
    """Write down what else a person says of an event, 1,000 characters at most; None takes it back.

    Raises:
        StoreError: the database refused.
    """
    with writing(engine, "the note could not be written") as connection:
        connection.execute(update(events).where(events.c.id == event_id).values(note=note))


def count_open(engine: Engine) -> int:
    """How many events have not ended.

    Raises:
        StoreError: the database refused.
    """
    query = select(func.count()).select_from(events).where(events.c.end_wall_s.is_(None))
    with reading(engine, "events") as connection:
        return int(connection.scalar(query) or 0)


def count_by_label(engine: Engine, camera: str, since_s: float) -> dict[str | None, int]:
    """How many events of a camera began since a Unix time, by what they were called; None for those that nobody judged.

    Raises:
        StoreError: the database refused.
    """
    of_camera = (events.c.camera == camera, events.c.start_wall_s >= since_s)
    query = select(events.c.label, func.count()).where(*of_camera).group_by(events.c.label)
    with reading(engine, "events") as connection:
        return {label: int(count) for label, count in connection.execute(query)}


def _close(connection: Connection, router: MessageRouter | None, ended: Sequence[Event]) -> None:
    """What an end changes of rows that are there, and whom to tell of it."""
    changed = ("end_wall_s", "end_time_s", "reason")
    statement = update(events).where(events.c.id == bindparam("of")).values({name: bindparam(name) for name in changed})
    connection.execute(statement, [{"of": e.id, **{name: getattr(e, name) for name in changed}} for e in ended])
    if router:
        changes = [EventChange(EventType.ANOMALY_ENDED, event, event.peak.wall_s) for event in ended]
        insert_messages(connection, [message for change in changes for message in router.of_change(change)])


def _failure(records: Sequence[Record]) -> str:
    if len(records) != 1:
        return f"{len(records)} changes could not be written"
    item = records[0][0]
    return "a notice could not be written" if isinstance(item, Notice) else f"event {item.event.id} could not be written"


def _camera(item: EventChange | Notice) -> str:
    return item.camera if isinstance(item, Notice) else item.event.camera


def _told(router: MessageRouter, item: EventChange | Notice) -> Sequence[NewMessage]:
    return router.of_notice(item) if isinstance(item, Notice) else router.of_change(item)


def _insert(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(table.insert(), rows)


def _update(connection: Connection, event: Event) -> None:
    row = _row(event)
    updated = connection.execute(update(events).where(events.c.id == event.id).values(row))
    if updated.rowcount == 0:  # its start was lost: the database took nothing, or is another one now
        connection.execute(events.insert(), [row])


def _notice_row(notice: Notice) -> dict[str, Any]:
    row = {"id": notice.id, "type": notice.type.value, "camera": notice.camera, "at_wall_s": notice.at_wall_s}
    return {**row, "detail": dict(notice.detail)}


def _row(event: Event) -> dict[str, Any]:
    row = asdict(event)
    del row["label"], row["note"]  # a person's: no change of the event touches them
    peak = row.pop("peak")
    row.update(severity=event.severity.value, reason=event.reason.value if event.reason else None)
    row.update(peak_score=peak["score"], peak_wall_s=peak["wall_s"], peak_time_s=peak["time_s"])
    row.update(boxes=[*peak["boxes"]], fields=dict(peak["fields"]))
    why = {"levels": [_layer_row(layer) for layer in event.peak.layers], "at": peak["at"], "area": peak["area"]}
    row.update(why={**why, "reason": peak["reason"]} if peak["reason"] else why)
    return row


def _event(row: RowMapping) -> Event:
    values = {name: value for name, value in row.items() if name != "exported"}
    values["severity"] = Severity(values["severity"])
    values["reason"] = EndReason(values["reason"]) if values["reason"] else None
    boxes = tuple(Box(**box) for box in values.pop("boxes"))
    fields = tuple(values.pop("fields").items())
    times = (values.pop("peak_score"), values.pop("peak_wall_s"), values.pop("peak_time_s"))
    peak = Peak(*times, boxes, fields, **_reasons(values.pop("why")))
    return Event(peak=peak, **values)


def _reasons(why: dict[str, Any]) -> dict[str, Any]:
    """What of a peak is stored as one document; an event of an older version has none."""
    layers = tuple(_layer(row) for row in why.get("levels", ()))
    reason = Reason(**why["reason"]) if why.get("reason") else None
    at = tuple(why["at"]) if why.get("at") else None
    return {"layers": layers, "at": at, "area": why.get("area", 0.0), "reason": reason}


def _layer_row(layer: LayerShare) -> dict[str, Any]:
    """The database's key ``level`` is older than the word layer."""
    return {"level": layer.layer, "share": layer.share, "squared": layer.squared, "normal": [*layer.normal]}


def _layer(row: dict[str, Any]) -> LayerShare:
    return LayerShare(row["level"], row["share"], row["squared"], (row["normal"][0], row["normal"][1]))
