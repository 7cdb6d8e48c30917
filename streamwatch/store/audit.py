"""Who did what through the page and the API."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from sqlalchemy import Engine, delete, select

from streamwatch.store.sessions import reading, writing
from streamwatch.store.tables import audit

KEPT = 100_000
FORGET_EVERY = 1000
"""Rows after which those that are too many are looked for."""


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that somebody did, or tried to.

    Attributes:
        who: a token's name, a proxy's user, or ``local``.
        action: method and path.
        status: of the answer.
    """

    at_wall_s: float
    who: str
    role: str
    address: str
    action: str
    status: int


def record_action(engine: Engine, action: Action) -> None:
    """Write one down; of more than 100,000 the oldest are forgotten.

    Raises:
        StoreError: the database refused.
    """
    row = {**asdict(action), "who": action.who[:63], "address": action.address[:63], "action": action.action[:255]}
    with writing(engine, "the audit log could not be written") as connection:
        number = connection.execute(audit.insert().values(row)).inserted_primary_key
        if number and number[0] % FORGET_EVERY == 0:
            connection.execute(delete(audit).where(audit.c.id <= number[0] - KEPT))


def list_actions(engine: Engine, *, limit: int, before: int | None = None) -> list[tuple[int, Action]]:
    """With their numbers, the newest first.

    Args:
        before: only with smaller numbers.
    """
    older = () if before is None else (audit.c.id < before,)
    query = select(audit).where(*older).order_by(audit.c.id.desc()).limit(limit)
    with reading(engine, "the audit log") as connection:
        rows = connection.execute(query).mappings().all()
    return [(row["id"], Action(**{name: value for name, value in row.items() if name != "id"})) for row in rows]
