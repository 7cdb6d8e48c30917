"""The outbox as people see it: what waits, what became of a message, and sending it again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import Engine, delete, func, select, update

from streamwatch.enums import MessageState
from streamwatch.errors import UsageError
from streamwatch.store.outbox.messages import Attempt, Depth, Message, message_of
from streamwatch.store.sessions import reading, writing
from streamwatch.store.tables import attempts, endpoints, outbox


class OutboxAdministration:
    """The outbox of one database.

    Args:
        engine: open and migrated.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def depths(self) -> dict[str, Depth]:
        """What waits, by endpoint."""
        c = outbox.c
        waits_or_dead = c.state.in_((MessageState.PENDING, MessageState.DEAD))
        query = select(c.endpoint, c.state, func.count(), func.min(c.created_wall_s)).where(waits_or_dead)
        found: dict[str, Depth] = {}
        with reading(self._engine, "messages") as connection:
            for name, state, count, oldest in connection.execute(query.group_by(c.endpoint, c.state)):
                known = found.get(name, Depth(0, None, 0))
                found[name] = (
                    replace(known, dead=count)
                    if state == MessageState.DEAD
                    else replace(known, pending=count, oldest_wall_s=oldest)
                )
        return found

    def disabled(self) -> dict[str, str]:
        """Endpoints that take no more messages, and why."""
        with reading(self._engine, "messages") as connection:
            return {str(row.name): str(row.reason) for row in connection.execute(select(endpoints))}

    def enable(self, endpoint: str) -> bool:
        """Let an endpoint have messages again; whether it was switched off.

        Raises:
            StoreError: the database refused.
        """
        with writing(self._engine, "the endpoint could not be switched on") as connection:
            return bool(connection.execute(delete(endpoints).where(endpoints.c.name == endpoint)).rowcount)

    def list_messages(
        self,
        *,
        state: str | None = None,
        endpoint: str | None = None,
        subject: str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> list[Message]:
        """The newest messages first.

        Args:
            subject: only those that tell of it.
            before: only those with a smaller number.
        """
        c = outbox.c
        equal = ((c.state, state), (c.endpoint, endpoint), (c.subject, subject))
        wanted = [column == value for column, value in equal if value]
        wanted += [] if before is None else [c.id < before]
        query = select(outbox).where(*wanted).order_by(outbox.c.id.desc()).limit(limit)
        with reading(self._engine, "messages") as connection:
            return [message_of(row) for row in connection.execute(query).mappings()]

    def find(self, number: int) -> Message:
        """One message.

        Raises:
            UsageError: there is none of this number.
        """
        with reading(self._engine, "messages") as connection:
            row = connection.execute(select(outbox).where(outbox.c.id == number)).mappings().first()
        if row is None:
            raise UsageError(f"no message {number}", hint="`streamwatch alerts list` shows them")
        return message_of(row)

    def attempts_of(self, number: int) -> list[Attempt]:
        """Every attempt at a message, in order."""
        query = select(attempts).where(attempts.c.outbox_id == number).order_by(attempts.c.id)
        with reading(self._engine, "messages") as connection:
            rows = connection.execute(query).mappings()
            return [Attempt(row["at_wall_s"], row["status"], row["latency_s"], row["error"]) for row in rows]

    def replay(self, numbers: Sequence[int], *, now_s: float) -> int:
        """Send messages again from the start of the schedule, with the ids that they had; how many there were.

        Raises:
            StoreError: the database refused.
        """
        fresh = {
            "state": MessageState.PENDING,
            "due_wall_s": now_s,
            "attempts": 0,
            "leased_until_wall_s": None,
            "settled_wall_s": None,
        }
        with writing(self._engine, "messages could not be replayed") as connection:
            return connection.execute(update(outbox).where(outbox.c.id.in_(numbers)).values(fresh)).rowcount

    def forget_delivered(self, *, before_s: float, limit: int) -> int:
        """Delete messages that were delivered or coalesced before a Unix time, at most ``limit``; how many.

        Raises:
            StoreError: the database refused.
        """
        c = outbox.c
        with writing(self._engine, "old messages could not be deleted") as connection:
            old = (
                select(c.id)
                .where(c.state.in_((MessageState.DELIVERED, MessageState.COALESCED)), c.settled_wall_s < before_s)
                .limit(limit)
            )
            numbers = list(connection.execute(old).scalars())
            connection.execute(delete(attempts).where(attempts.c.outbox_id.in_(numbers)))
            return connection.execute(delete(outbox).where(c.id.in_(numbers))).rowcount
