"""Messages to deliver: written with what they tell of, leased to a sender, settled in batches.

A message is pending until it was delivered, or until its schedule has run out (``dead``), or until another one tells what it
would have told (``folded``). Of one event only the oldest
pending message of an endpoint is given out, so that a receiver hears of them in order. A lease ends by itself: what a
sender held when it died is given out again, which is why a receiver may hear of something twice, and never not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Engine, RowMapping, Select, and_, delete, exists, func, or_, select, update
from sqlalchemy.exc import SQLAlchemyError

from streamwatch.errors import StoreError, UsageError
from streamwatch.store.tables import attempts, endpoints, outbox

PENDING, DELIVERED, DEAD, FOLDED = "pending", "delivered", "dead", "folded"
STATES = (PENDING, DELIVERED, DEAD, FOLDED)


_NUMBERS_AT_ONCE = 500
"""In one statement: SQLite takes 999 parameters."""


@dataclass(frozen=True, slots=True)
class NewMessage:
    """Something that an endpoint is to be told.

    Attributes:
        id: of the message, the same for every endpoint and every attempt.
        subject: id of what it tells of; messages of one subject arrive in order.
        content: JSON-ready.
    """

    id: str
    endpoint: str
    subject: str
    type: str
    camera: str
    content: dict[str, Any]
    created_wall_s: float


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it stands.

    Attributes:
        number: its place in the outbox.
        attempts: how often it was sent.
        earlier_dead: an earlier message of the same subject was given up.
    """

    number: int
    id: str
    endpoint: str
    subject: str
    type: str
    camera: str
    content: dict[str, Any]
    created_wall_s: float
    due_wall_s: float
    attempts: int
    state: str
    last_error: str | None = None
    settled_wall_s: float | None = None
    earlier_dead: bool = False


@dataclass(frozen=True, slots=True)
class Settlement:
    """What one attempt came to.

    Attributes:
        state: of the message from now on.
        due_wall_s: when it is tried again, if it is pending.
        status: HTTP status, or None.
        disable: why its endpoint takes no more messages; None if it does.
    """

    number: int
    state: str
    at_wall_s: float
    latency_s: float
    due_wall_s: float = 0.0
    status: int | None = None
    error: str | None = None
    endpoint: str = ""
    disable: str | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to deliver a message."""

    at_wall_s: float
    status: int | None
    latency_s: float
    error: str | None


@dataclass(frozen=True, slots=True)
class Depth:
    """What waits for an endpoint; ``oldest_wall_s`` is when the oldest of it was written, None if nothing waits."""

    pending: int
    oldest_wall_s: float | None
    dead: int


def insert_messages(connection: Connection, messages: Sequence[NewMessage]) -> None:
    """Write messages within the caller's transaction."""
    if messages:
        connection.execute(outbox.insert(), [_new_row(message) for message in messages])


class Outbox:
    """The outbox of one database.

    Args:
        engine: open and migrated.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def put(self, messages: Sequence[NewMessage]) -> None:
        """Write messages that tell of nothing else in the database.

        Raises:
            StoreError: the database refused.
        """
        with self._writing("messages could not be written") as connection:
            insert_messages(connection, messages)

    def put_heartbeat(self, message: NewMessage) -> None:
        """Write a sign of life in the place of those that still wait: nobody wants to hear of yesterday's.

        Raises:
            StoreError: the database refused.
        """
        c = outbox.c
        waiting = (c.endpoint == message.endpoint, c.type == message.type, c.state == PENDING, c.leased_until_wall_s.is_(None))
        with self._writing("a heartbeat could not be written") as connection:
            connection.execute(delete(outbox).where(*waiting))
            insert_messages(connection, [message])

    def fold(self, endpoint: str, prefix: str, *, now_s: float, keep: int, make: Callable[[list[Message]], NewMessage]) -> int:
        """Put one message in the place of all but the oldest ``keep`` that were never tried and whose type begins so.

        Returns:
            How many were folded; 0 if there is but one more than those that stay.

        Raises:
            StoreError: the database refused.
        """
        c = outbox.c
        fresh = (c.endpoint == endpoint, c.state == PENDING, c.attempts == 0, c.leased_until_wall_s.is_(None))
        query = select(outbox).where(*fresh, c.type.startswith(prefix, autoescape=True), c.due_wall_s <= now_s)
        with self._writing("messages could not be folded") as connection:
            rows = [_message(row) for row in connection.execute(query.order_by(c.id).offset(keep)).mappings()]
            if len(rows) < 2:
                return 0
            folded = {"state": FOLDED, "settled_wall_s": now_s}
            for at in range(0, len(rows), _NUMBERS_AT_ONCE):
                numbers = [message.number for message in rows[at : at + _NUMBERS_AT_ONCE]]
                connection.execute(update(outbox).where(c.id.in_(numbers)).values(folded))
            insert_messages(connection, [make(rows)])
            return len(rows)

    def lease(self, endpoint: str, *, now_s: float, until_s: float, limit: int, without: str = "") -> list[Message]:
        """Up to ``limit`` messages that are due, held until ``until_s``; none of an endpoint that is switched off.

        Args:
            without: leave out types that begin so; empty leaves out none.

        Raises:
            StoreError: the database refused.
        """
        query = _due(endpoint, now_s, limit)
        if without:
            query = query.where(~outbox.c.type.startswith(without, autoescape=True))
        with self._writing("messages could not be leased") as connection:
            if connection.dialect.name == "sqlite":
                # Before the rows are read: else two senders may read the same ones, and one sends an old message last.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            rows = connection.execute(query).mappings().all()
            numbers = [row["id"] for row in rows]
            if numbers:
                connection.execute(update(outbox).where(outbox.c.id.in_(numbers)).values(leased_until_wall_s=until_s))
            return [_message(row) for row in rows]

    def settle(self, settlements: Sequence[Settlement]) -> None:
        """Write what attempts came to, all or none.

        Raises:
            StoreError: the database refused.
        """
        if not settlements:
            return
        with self._writing("results could not be written") as connection:
            connection.execute(attempts.insert(), [_attempt_row(s) for s in settlements])
            for settlement in settlements:
                connection.execute(update(outbox).where(outbox.c.id == settlement.number).values(_settled_row(settlement)))
            for name, why in {s.endpoint: s.disable for s in settlements if s.disable}.items():
                _disable(connection, name, why, settlements[-1].at_wall_s)

    def release(self, numbers: Sequence[int]) -> None:
        """Give back what was leased and not sent.

        Raises:
            StoreError: the database refused.
        """
        if numbers:
            with self._writing("leases could not be given back") as connection:
                connection.execute(update(outbox).where(outbox.c.id.in_(numbers)).values(leased_until_wall_s=None))

    def next_due_s(self, endpoint: str) -> float | None:
        """When the next pending message of an endpoint is due; None if there is none."""
        query = select(func.min(outbox.c.due_wall_s)).where(outbox.c.endpoint == endpoint, outbox.c.state == PENDING)
        with self._reading() as connection:
            return connection.execute(query).scalar()

    def depths(self) -> dict[str, Depth]:
        """What waits, by endpoint."""
        c = outbox.c
        waits_or_dead = c.state.in_((PENDING, DEAD))
        query = select(c.endpoint, c.state, func.count(), func.min(c.created_wall_s)).where(waits_or_dead)
        found: dict[str, Depth] = {}
        with self._reading() as connection:
            for name, state, count, oldest in connection.execute(query.group_by(c.endpoint, c.state)):
                known = found.get(name, Depth(0, None, 0))
                found[name] = (
                    replace(known, dead=count) if state == DEAD else replace(known, pending=count, oldest_wall_s=oldest)
                )
        return found

    def disabled(self) -> dict[str, str]:
        """Endpoints that take no more messages, and why."""
        with self._reading() as connection:
            return {str(row.name): str(row.reason) for row in connection.execute(select(endpoints))}

    def enable(self, endpoint: str) -> bool:
        """Let an endpoint have messages again; whether it was switched off.

        Raises:
            StoreError: the database refused.
        """
        with self._writing("the endpoint could not be switched on") as connection:
            return bool(connection.execute(delete(endpoints).where(endpoints.c.name == endpoint)).rowcount)

    def list_messages(self, *, state: str | None = None, endpoint: str | None = None, limit: int = 100) -> list[Message]:
        """The newest messages first."""
        wanted = [column == value for column, value in ((outbox.c.state, state), (outbox.c.endpoint, endpoint)) if value]
        query = select(outbox).where(*wanted).order_by(outbox.c.id.desc()).limit(limit)
        with self._reading() as connection:
            return [_message(row) for row in connection.execute(query).mappings()]

    def find(self, number: int) -> Message:
        """One message.

        Raises:
            UsageError: there is none of this number.
        """
        with self._reading() as connection:
            row = connection.execute(select(outbox).where(outbox.c.id == number)).mappings().first()
        if row is None:
            raise UsageError(f"no message {number}", hint="`streamwatch alerts list` shows them")
        return _message(row)

    def attempts_of(self, number: int) -> list[Attempt]:
        """Every attempt at a message, in order."""
        query = select(attempts).where(attempts.c.outbox_id == number).order_by(attempts.c.id)
        with self._reading() as connection:
            rows = connection.execute(query).mappings()
            return [Attempt(row["at_wall_s"], row["status"], row["latency_s"], row["error"]) for row in rows]

    def replay(self, numbers: Sequence[int], *, now_s: float) -> int:
        """Send messages again from the start of the schedule, with the ids that they had; how many there were.

        Raises:
            StoreError: the database refused.
        """
        fresh = {"state": PENDING, "due_wall_s": now_s, "attempts": 0, "leased_until_wall_s": None, "settled_wall_s": None}
        with self._writing("messages could not be replayed") as connection:
            return connection.execute(update(outbox).where(outbox.c.id.in_(numbers)).values(fresh)).rowcount

    def forget_delivered(self, *, before_s: float, limit: int) -> int:
        """Delete messages that were delivered or folded before a Unix time, at most ``limit``; how many.

        Raises:
            StoreError: the database refused.
        """
        c = outbox.c
        with self._writing("old messages could not be deleted") as connection:
            old = select(c.id).where(c.state.in_((DELIVERED, FOLDED)), c.settled_wall_s < before_s).limit(limit)
            numbers = list(connection.execute(old).scalars())
            connection.execute(delete(attempts).where(attempts.c.outbox_id.in_(numbers)))
            return connection.execute(delete(outbox).where(c.id.in_(numbers))).rowcount

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        try:
            with self._engine.connect() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise StoreError(f"messages could not be read ({error.__class__.__name__})", hint="check the database") from error

    @contextmanager
    def _writing(self, failure: str) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise StoreError(f"{failure} ({error.__class__.__name__})", hint="check the disk") from error


def _due(endpoint: str, now_s: float, limit: int) -> Select[Any]:
    """Pending, due, not leased, and no earlier message of the same subject pending."""
    c, earlier, given_up = outbox.c, outbox.alias(), outbox.alias()
    before = and_(earlier.c.endpoint == c.endpoint, earlier.c.subject == c.subject, earlier.c.id < c.id)
    dead_before = and_(given_up.c.endpoint == c.endpoint, given_up.c.subject == c.subject, given_up.c.id < c.id)
    query = (
        select(outbox, exists().where(dead_before, given_up.c.state == DEAD).label("earlier_dead"))
        .where(
            c.endpoint == endpoint,
            c.state == PENDING,
            c.due_wall_s <= now_s,
            or_(c.leased_until_wall_s.is_(None), c.leased_until_wall_s < now_s),
            ~exists().where(before, earlier.c.state == PENDING),
            ~exists().where(endpoints.c.name == endpoint),
        )
        .order_by(c.due_wall_s, c.id)
        .limit(limit)
    )
    return query.with_for_update(skip_locked=True, of=outbox)  # two senders on one PostgreSQL


def _new_row(message: NewMessage) -> dict[str, Any]:
    return {
        "message_id": message.id,
        "endpoint": message.endpoint,
        "subject": message.subject,
        "type": message.type,
        "camera": message.camera,
        "content": message.content,
        "created_wall_s": message.created_wall_s,
        "due_wall_s": message.created_wall_s,
        "attempts": 0,
        "state": PENDING,
    }


def _attempt_row(s: Settlement) -> dict[str, Any]:
    return {"outbox_id": s.number, "at_wall_s": s.at_wall_s, "status": s.status, "latency_s": s.latency_s, "error": s.error}


def _settled_row(s: Settlement) -> dict[str, Any]:
    over = s.state != PENDING
    return {
        "state": s.state,
        "attempts": outbox.c.attempts + 1,
        "leased_until_wall_s": None,
        "last_error": s.error,
        **({"settled_wall_s": s.at_wall_s} if over else {"due_wall_s": s.due_wall_s}),
    }


def _disable(connection: Connection, name: str, why: str | None, at_wall_s: float) -> None:
    if not connection.execute(select(endpoints.c.name).where(endpoints.c.name == name)).first():
        connection.execute(endpoints.insert().values(name=name, disabled_wall_s=at_wall_s, reason=why))


def _message(row: RowMapping) -> Message:
    values = {key: value for key, value in row.items() if key not in ("leased_until_wall_s", "id", "message_id")}
    return Message(number=row["id"], id=row["message_id"], **values)
