"""What each process of a site says of itself, so that each of them can show them all.

A report is a document: the store does not look into it. It is written anew every few seconds; one that was not is of a process
that has died, hangs, or cannot reach the database.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from streamwatch.clock import Clock
from streamwatch.store.processes.leases import database_now_s
from streamwatch.store.sessions import reading, writing
from streamwatch.store.tables import processes

SILENT_AFTER_S = 15.0
"""As long as a lease lasts: whoever says nothing for so long may have lost its cameras."""
FORGOTTEN_AFTER_S = 86_400.0


@dataclass(frozen=True, slots=True)
class ProcessReport:
    """One process.

    Attributes:
        name: that no other has; of its leases, too.
        shard: which share of the site's cameras it takes, as people write it.
        host: the machine.
        address: URL at which the other processes reach its site; None if they do not.
        report: what it watches, as documents of the API.
    """

    name: str
    shard: str
    host: str
    address: str | None
    version: str
    began_wall_s: float
    report: Mapping[str, Any]


def forget_old(engine: Engine, clock: Clock) -> None:
    """Drop what was said a day ago by processes that never came back; raises as ``write_report``."""
    with writing(engine, "what old processes said could not be forgotten") as connection:
        since_s = database_now_s(connection, clock) - FORGOTTEN_AFTER_S
        connection.execute(delete(processes).where(processes.c.seen_wall_s < since_s))


def write_report(engine: Engine, told: ProcessReport, clock: Clock) -> None:
    """Replace what the process said before.

    Raises:
        StoreError: the database refused.
    """
    values = {name: getattr(told, name) for name in ProcessReport.__slots__}
    with writing(engine, "what this process watches could not be told") as connection:
        now_s = database_now_s(connection, clock)
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        row = dialect.insert(processes).values(**values, seen_wall_s=now_s)
        changed = {name: row.excluded[name] for name in (*values, "seen_wall_s") if name != "name"}
        connection.execute(row.on_conflict_do_update(index_elements=["name"], set_=changed))


def remove_report(engine: Engine, name: str) -> None:
    """A process ends; raises as ``write_report``."""
    with writing(engine, "that this process ends could not be told") as connection:
        connection.execute(delete(processes).where(processes.c.name == name))


def living(engine: Engine, clock: Clock) -> list[ProcessReport]:
    """Of the processes that said something lately, by shard and name.

    Raises:
        StoreError: the database refused.
    """
    c = processes.c
    with reading(engine, "what the site's processes watch") as connection:
        since_s = database_now_s(connection, clock) - SILENT_AFTER_S
        query = select(processes).where(c.seen_wall_s > since_s).order_by(c.shard, c.name)
        rows = connection.execute(query).mappings().all()
    return [ProcessReport(**{name: row[name] for name in ProcessReport.__slots__}) for row in rows]
