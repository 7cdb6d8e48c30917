"""Opening the database: durable SQLite by default, any SQLAlchemy URL else, always at the newest migration."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from streamwatch.errors import StoreError


def open_database(url: str | None, data_dir: Path) -> Engine:
    """Open ``url``, or ``data_dir/events.db`` if None, and migrate it.

    Raises:
        StoreError: it cannot be opened or migrated.
    """
    where = "database" if url else str(data_dir / "events.db")
    try:
        if url is None:
            data_dir.mkdir(parents=True, exist_ok=True)
        engine = create_engine(url or f"sqlite:///{data_dir / 'events.db'}")
        if engine.dialect.name == "sqlite":
            event.listen(engine, "connect", _make_durable)
        _migrate(engine)
    except (SQLAlchemyError, CommandError, OSError, ImportError) as error:
        cause = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise StoreError(f"cannot be opened ({_masked(cause, url)})", where=where, hint="check the path or URL") from None
    return engine


def _masked(text: str, url: str | None) -> str:
    """``text`` without the password of ``url``."""
    password = make_url(url).password if url and "://" in url else None
    return text.replace(str(password), "***") if password else text


def _make_durable(connection: sqlite3.Connection, _record: ConnectionPoolEntry) -> None:
    """WAL with synchronous=FULL: a commit survives a power cut, and readers never block the writer."""
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=5000", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _migrate(engine: Engine) -> None:
    config = Config()
    config.set_main_option("script_location", "streamwatch:store/migrations")
    config.set_main_option("path_separator", "os")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
