"""Handing messages out to senders, and settling what became of them.

Of one event only the oldest pending message of an endpoint is given out, so that a receiver hears of them in order. A lease
ends by itself: what a sender held when it died is given out again, which is why a receiver may hear of something twice, and
never not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, Select, and_, delete, exists, or_, select, update

from streamwatch.enums import MessageState
from streamwatch.store.outbox.messages import Message, NewMessage, Settlement, insert_messages, message_of
from streamwatch.store.sessions import writing
from streamwatch.store.tables import attempts, endpoints, outbox

_NUMBERS_AT_ONCE = 500
"""In one statement: SQLite takes 999 parameters."""


class Outbox:
    """What senders take from, and where what is to be sent is put.

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
        with writing(self._engine, "messages could not be written") as connection:
            insert_messages(connection, messages)

    def put_heartbeat(self, message: NewMessage) -> None:
        """Write a sign of life in the place of those that still wait: nobody wants to hear of yesterday's.

        Raises:
            StoreError: the database refused.
        """
        c = outbox.c
        waiting = (
            c.endpoint == message.endpoint,
            c.type == message.type,
            c.state == MessageState.PENDING,
            c.leased_until_wall_s.is_(None),
        )
        with writing(self._engine, "a heartbeat could not be written") as connection:
            connection.execute(delete(outbox).where(*waiting))
            insert_messages(connection, [message])

    def coalesce(
        self, endpoint: str, prefix: str, *, now_s: float, keep: int, make: Callable[[list[Message]], NewMessage]
    ) -> int:
        """Put one message in the place of all but the oldest ``keep`` that were never tried and whose type begins so.

        Returns:
            How many were coalesced; 0 if there is but one more than those that stay.

        Raises:
            StoreError: the database refused.
        """
        c = outbox.c
        fresh = (c.endpoint == endpoint, c.state == MessageState.PENDING, c.attempts == 0, c.leased_until_wall_s.is_(None))
        query = select(outbox).where(*fresh, c.type.startswith(prefix, autoescape=True), c.due_wall_s <= now_s)
        with writing(self._engine, "messages could not be coalesced") as connection:
            rows = [message_of(row) for row in connection.execute(query.order_by(c.id).offset(keep)).mappings()]
            if len(rows) < 2:
                return 0
            coalesced = {"state": MessageState.COALESCED, "settled_wall_s": now_s}
            for at in range(0, len(rows), _NUMBERS_AT_ONCE):
                numbers = [message.number for message in rows[at : at + _NUMBERS_AT_ONCE]]
                connection.execute(update(outbox).where(c.id.in_(numbers)).values(coalesced))
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
        with writing(self._engine, "messages could not be leased") as connection:
            if connection.dialect.name == "sqlite":
                # Before the rows are read: else two senders may read the same ones, and one sends an old message last.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            rows = connection.execute(query).mappings().all()
            numbers = [row["id"] for row in rows]
            if numbers:
                connection.execute(update(outbox).where(outbox.c.id.in_(numbers)).values(leased_until_wall_s=until_s))
            return [message_of(row) for row in rows]

    def settle(self, settlements: Sequence[Settlement]) -> None:
        """Write what attempts came to, all or none.

        Raises:
            StoreError: the database refused.
        """
        if not settlements:
            return
        with writing(self._engine, "results could not be written") as connection:
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
            with writing(self._engine, "leases could not be given back") as connection:
                connection.execute(update(outbox).where(outbox.c.id.in_(numbers)).values(leased_until_wall_s=None))


def _due(endpoint: str, now_s: float, limit: int) -> Select[Any]:
    """Pending, due, not leased, and no earlier message of the same subject pending."""
    c, earlier, given_up = outbox.c, outbox.alias(), outbox.alias()
    before = and_(earlier.c.endpoint == c.endpoint, earlier.c.subject == c.subject, earlier.c.id < c.id)
    dead_before = and_(given_up.c.endpoint == c.endpoint, given_up.c.subject == c.subject, given_up.c.id < c.id)
    query = (
        select(outbox, exists().where(dead_before, given_up.c.state == MessageState.DEAD).label("earlier_dead"))
        .where(
            c.endpoint == endpoint,
            c.state == MessageState.PENDING,
            c.due_wall_s <= now_s,
            or_(c.leased_until_wall_s.is_(None), c.leased_until_wall_s < now_s),
            ~exists().where(before, earlier.c.state == MessageState.PENDING),
            ~exists().where(endpoints.c.name == endpoint),
        )
        .order_by(c.due_wall_s, c.id)
        .limit(limit)
    )
    return query.with_for_update(skip_locked=True, of=outbox)  # two senders on one PostgreSQL


def _attempt_row(s: Settlement) -> dict[str, Any]:
    return {"outbox_id": s.number, "at_wall_s": s.at_wall_s, "status": s.status, "latency_s": s.latency_s, "error": s.error}


def _settled_row(s: Settlement) -> dict[str, Any]:
    over = s.state != MessageState.PENDING
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
