"""Answers to requests that carry a key: who asks again with it is given the same answer, and nothing is done twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Engine, and_, delete, or_, select, update

from streamwatch.errors import AlreadyStored
from streamwatch.store.sessions import reading, writing
from streamwatch.store.tables import replies

KEPT_S = 86_400.0
WORKED_ON_S = 600.0
"""After that, a process that ended has left it unanswered."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What was answered, or that it is being worked on.

    Attributes:
        request_sha256: of method, path and body.
        status: None while nothing was answered yet.
    """

    request_sha256: str
    status: int | None = None
    headers: Mapping[str, str] | None = None
    body: bytes | None = None


def claim(engine: Engine, who: str, key: str, request_sha256: str, now_s: float) -> Reply | None:
    """Take a key for a request; None if it is now the caller's to answer, else what is known of the one that has it.

    Keys are forgotten after a day.

    Raises:
        StoreError: the database refused.
    """
    row = {"who": who, "key": key, "request_sha256": request_sha256, "at_wall_s": now_s}
    try:
        with writing(engine, "the request's key could not be taken") as connection:
            left = and_(replies.c.status.is_(None), replies.c.at_wall_s < now_s - WORKED_ON_S)
            connection.execute(delete(replies).where(or_(replies.c.at_wall_s < now_s - KEPT_S, left)))
            connection.execute(replies.insert().values(row))
    except AlreadyStored:
        return _known(engine, who, key)
    return None


def settle(engine: Engine, who: str, key: str, reply: Reply) -> None:
    """Keep what was answered.

    Raises:
        StoreError: the database refused.
    """
    values = {"status": reply.status, "headers": dict(reply.headers or {}), "body": reply.body}
    with writing(engine, "the answer could not be kept") as connection:
        connection.execute(update(replies).where(replies.c.who == who, replies.c.key == key).values(values))


def release(engine: Engine, who: str, key: str) -> None:
    """Let the key be taken again: what it was taken for failed.

    Raises:
        StoreError: the database refused.
    """
    with writing(engine, "the request's key could not be released") as connection:
        connection.execute(delete(replies).where(replies.c.who == who, replies.c.key == key))


def _known(engine: Engine, who: str, key: str) -> Reply | None:
    query = select(replies).where(replies.c.who == who, replies.c.key == key)
    with reading(engine, "answers") as connection:
        row = connection.execute(query).mappings().first()
    return Reply(row["request_sha256"], row["status"], row["headers"], row["body"]) if row else None
