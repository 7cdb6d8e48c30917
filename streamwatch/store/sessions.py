"""Opening the database: durable SQLite by default, any SQLAlchemy URL else, always at the newest migration."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import ConnectionPoolEntry

from streamwatch.config.schema import Config as Configuration
from streamwatch.errors import AlreadyStored, NotStorable, StoreError, StoreUnavailable, UsageError
from streamwatch.store.database_file import follow_file

MIGRATION_LOCK = 0x73747265616D7761
"""PostgreSQL's advisory locks are named by 64-bit numbers; this one spells "streamwa"."""
WAL_TRIES = 20
_PASSING = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
    }
)
LOCKS = {"sqlite": "BEGIN IMMEDIATE", "postgresql": f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"}


def open_database(url: str | None, data_dir: Path) -> Engine:
    """Open ``url``, or ``data_dir/events.db`` if None, and migrate it; processes that do so at once wait for each other.

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
            follow_file(engine)
        _migrate(engine)
    except (SQLAlchemyError, CommandError, OSError, ImportError) as error:
        cause = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise StoreError(f"cannot be opened ({_masked(cause, url)})", where=where, hint="check the path or URL") from None
    return engine


def open_database_of(config: Configuration, folder: Path | None = None) -> Engine:
    """A configuration's database, else that of ``folder``, which is ``data_dir`` if None; raises as ``open_database``."""
    return open_database(config.database.get_secret_value() if config.database else None, folder or config.data_dir)


def rebuild_tables(engine: Engine) -> None:
    """Make the tables of a database whose file was removed or replaced, where they are missing or old.

    Raises:
        StoreError: it cannot be migrated.
    """
    try:
        engine.dispose()
        _migrate(engine)
    except (SQLAlchemyError, CommandError, OSError) as error:
        cause = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise StoreUnavailable(f"the database cannot be begun again ({cause})", hint="check the disk") from None


@contextmanager
def database_of(config: Configuration) -> Iterator[Engine]:
    """The same, closed afterwards."""
    engine = open_database_of(config)
    try:
        yield engine
    finally:
        engine.dispose()


def require_database(config: Configuration) -> None:
    """Check that there is one, rather than making it.

    Raises:
        UsageError: there is none.
    """
    path = config.data_dir / "events.db"
    if config.database is None and not path.is_file():
        raise UsageError("there is no event database", hint=f"{path} is made by `streamwatch run`")


@contextmanager
def reading(engine: Engine, what: str) -> Iterator[Connection]:
    """A connection to read ``what`` with.

    Raises:
        StoreError: the database refuses.
    """
    try:
        with engine.connect() as connection:
            yield connection
    except SQLAlchemyError as error:
        raise store_error(f"{what} could not be read", error, hint="check the database") from error


@contextmanager
def writing(engine: Engine, failure: str) -> Iterator[Connection]:
    """One transaction; ``failure`` says what could not be done.

    Raises:
        StoreError: the database refuses; StoreUnavailable: it does so just now.
    """
    try:
        with engine.begin() as connection:
            yield connection
    except SQLAlchemyError as error:
        raise store_error(failure, error, hint="check the disk") from error


def store_error(failure: str, error: SQLAlchemyError, *, hint: str) -> StoreError:
    """The database's refusal in our words; an error that trying again may help is StoreUnavailable."""
    if isinstance(error, IntegrityError):
        return AlreadyStored(f"{failure}: it is already stored")
    if isinstance(error, DataError) or not isinstance(error, DBAPIError | PoolTimeoutError):
        return NotStorable(f"{failure} ({error.__class__.__name__})", hint="report it")
    kind = StoreUnavailable if _may_pass(error) else StoreError
    return kind(f"{failure} ({error.__class__.__name__})", hint=hint)


def _may_pass(error: SQLAlchemyError) -> bool:
    """Locked, out of space, a disk or a server that fails; not a damaged file, nor a table that is missing."""
    if isinstance(error, PoolTimeoutError):
        return True
    cause = getattr(error, "orig", None)
    if isinstance(cause, sqlite3.Error):
        return (getattr(cause, "sqlite_errorcode", 0) & 0xFF) in _PASSING
    return isinstance(error, OperationalError | InterfaceError)


def _masked(text: str, url: str | None) -> str:
    """``text`` without the password of ``url``."""
    password = make_url(url).password if url and "://" in url else None
    return text.replace(str(password), "***") if password else text


def _make_durable(connection: sqlite3.Connection, _record: ConnectionPoolEntry) -> None:
    """WAL with synchronous=FULL: a commit survives a power cut, and readers never block the writer."""
    cursor = connection.cursor()
    for pragma in ("busy_timeout=5000", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    _write_ahead(cursor)
    cursor.close()


def _write_ahead(cursor: sqlite3.Cursor) -> None:
    """Change to WAL, which the file remembers.

    Of processes that change a new file together SQLite refuses some at once, because each holds a read lock and wants to be
    alone. A write lock is waited for; after it the other has finished.
    """
    for _ in range(WAL_TRIES):
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            cursor.execute("BEGIN IMMEDIATE")
            cursor.execute("ROLLBACK")
        else:
            return
    cursor.execute("PRAGMA journal_mode=WAL")


def _migrate(engine: Engine) -> None:
    config = Config()
    config.set_main_option("script_location", "streamwatch:store/migrations")
    config.set_main_option("path_separator", "os")
    newest = set(ScriptDirectory.from_config(config).get_heads())
    with engine.begin() as connection:
        if set(MigrationContext.configure(connection).get_current_heads()) == newest:
            return  # without the lock: who only asks need not be able to write
        _lock(connection)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")  # reads the revision again, which another process may have raised meanwhile


def _lock(connection: Connection) -> None:
    """Let one process migrate at a time: those of a site start together, and each would make the same tables.

    The transaction's end lets go, and all of the migration is in it.
    """
    if statement := LOCKS.get(connection.dialect.name):
        connection.exec_driver_sql(statement)
