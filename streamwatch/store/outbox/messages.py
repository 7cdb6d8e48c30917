"""Messages to deliver: what they are, and how they stand in the database.

A message is pending until it was delivered, or until its schedule has run out (``dead``), or until another one tells what it
would have told (``folded``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping

from streamwatch.enums import MessageState
from streamwatch.store.tables import outbox


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
    state: MessageState
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
    state: MessageState
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


def message_of(row: RowMapping) -> Message:
    """A message from its row."""
    values = {key: value for key, value in row.items() if key not in ("leased_until_wall_s", "id", "message_id", "state")}
    return Message(number=row["id"], id=row["message_id"], state=MessageState(row["state"]), **values)


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
        "state": MessageState.PENDING,
    }
