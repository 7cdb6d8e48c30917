"""Which process watches a camera: of several that could, one, for as long as it says so.

A lease ends by itself when its process dies. Who then takes it gets a higher number, the fencing token, and whatever the one
before still writes with its own is refused in the same transaction. So a process that was only slow, or cut off, does no harm
when it comes back, whatever the clocks say (Kleppmann 2016, "How to do distributed locking").
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy import BindParameter, Connection, Engine, RowMapping, bindparam, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from streamwatch.clock import Clock
from streamwatch.errors import LeaseLost, StoreUnavailable
from streamwatch.store.sessions import reading, writing
from streamwatch.store.tables import camera_leases

_NAMES_AT_ONCE = 500
"""In one statement: SQLite takes 999 parameters."""


@dataclass(frozen=True, slots=True)
class CameraLease:
    """One camera's.

    Attributes:
        holder: the process that watches it.
        token: counts the holders it has had.
        until_wall_s: when it ends unless it is renewed, a Unix time of the database's clock.
    """

    camera: str
    holder: str
    token: int
    until_wall_s: float


class CameraLeases:
    """Takes leases for one process.

    Args:
        engine: open and migrated.
        holder: a name of the process that no other has at a time. One that is started again under the same name takes its
            leases back at once.
        lasts_s: from each renewal on.
    """

    def __init__(self, engine: Engine, holder: str, *, clock: Clock, lasts_s: float) -> None:
        self._engine, self.holder, self._clock, self.lasts_s = engine, holder, clock, lasts_s
        self._tokens: dict[str, int] = {}
        self._had: set[str] = set()

    def hold(self, cameras: Collection[str]) -> Mapping[str, int]:
        """Renew or take what can be had of these cameras' leases, and give the others back; tokens of what is held now.

        Raises:
            StoreError: the database refused; what was held is held until it ends.
        """
        wanted = sorted(set(cameras))
        with writing(self._engine, "cameras could not be leased") as connection:
            _wait_for_nobody_long(connection)
            _make_rows(connection, wanted)
            rows = _locked(connection, sorted({*wanted, *self._tokens}))
            now_s = database_now_s(connection, self._clock)
            tokens = {name: token for name in wanted if (token := self._token(rows[name], now_s)) is not None}
            _write(connection, self.holder, tokens, now_s + self.lasts_s)
            mine = [
                name for name, row in rows.items() if row["holder"] == self.holder and row["token"] == self._tokens.get(name)
            ]
            left = [name for name in mine if name not in wanted]
            _change(connection, [{"of": name, "until_wall_s": 0.0} for name in left])
        self._tokens = tokens
        self._had |= tokens.keys()
        return dict(tokens)

    def release(self) -> None:
        """Give all back, so that another need not wait; raises as ``hold``."""
        self.hold(())

    def _token(self, row: RowMapping, now_s: float) -> int | None:
        """The token to hold a camera with; None if it is another's."""
        camera, token, known = row["camera"], int(row["token"]), self._tokens.get(row["camera"])
        if known is not None and (known > token or (known == token and row["holder"] == self.holder)):
            return known  # also after its end, if nobody took it; or in a database that is another one now
        ours_before = row["holder"] == self.holder and camera not in self._had
        return token + 1 if row["until_wall_s"] <= now_s or ours_before else None


def database_now_s(connection: Connection, clock: Clock) -> float:
    """Unix time by the database's server, which all processes share; those that share a file are on one machine."""
    if connection.dialect.name != "postgresql":
        return clock.wall_s()
    return float(connection.scalar(select(func.extract("epoch", func.clock_timestamp()))) or 0.0)


def require_token(connection: Connection, camera: str, token: int) -> None:
    """Let a transaction go on only while ``token`` is the camera's; nobody takes the lease before it is committed.

    Called last in it: the database is locked for writing then, so that what is read is what holds.

    Raises:
        LeaseLost: another process watches the camera.
        StoreUnavailable: the database knows of no such lease, because it is another one now: it will with the next renewal.
    """
    c = camera_leases.c
    held = connection.scalar(select(c.token).where(c.camera == camera).with_for_update(read=True))
    if held is None or held < token:
        raise StoreUnavailable("the database does not know this camera's lease yet", where=f"camera {camera}")
    if held > token:
        raise LeaseLost("another process watches this camera now", where=f"camera {camera}")


def all_leases(engine: Engine) -> list[CameraLease]:
    """Every camera's, by name.

    Raises:
        StoreError: the database refused.
    """
    with reading(engine, "leases of cameras") as connection:
        rows = connection.execute(select(camera_leases).order_by(camera_leases.c.camera)).mappings()
        return [CameraLease(**row) for row in rows]


def count_leased(engine: Engine, clock: Clock, cameras: Collection[str]) -> int:
    """How many of these cameras some process watches now; raises as ``all_leases``."""
    c, count = camera_leases.c, 0
    with reading(engine, "leases of cameras") as connection:
        now_s = database_now_s(connection, clock)
        for names in _parts(sorted(set(cameras))):
            held = select(func.count()).select_from(camera_leases).where(c.camera.in_(names), c.until_wall_s > now_s)
            count += int(connection.scalar(held) or 0)
    return count


def _locked(connection: Connection, cameras: list[str]) -> dict[str, RowMapping]:
    """The cameras' rows, which no other process changes until the end of the transaction; in order, against deadlocks."""
    rows, c = dict[str, RowMapping](), camera_leases.c
    for names in _parts(cameras):
        query = select(camera_leases).where(c.camera.in_(names)).order_by(c.camera).with_for_update()
        rows.update((row["camera"], row) for row in connection.execute(query).mappings())
    return rows


def _wait_for_nobody_long(connection: Connection) -> None:
    """A process that stops within the transaction keeps others from their leases no longer than this."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET LOCAL lock_timeout = '5s'")
        connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = '10s'")


def _make_rows(connection: Connection, cameras: list[str]) -> None:
    """Rows of cameras that have none, held by nobody; two processes may do it at once."""
    if not cameras:
        return
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(camera_leases).on_conflict_do_nothing()
    nobodys = {"holder": "", "token": 0, "until_wall_s": 0.0}
    connection.execute(statement, [{"camera": camera, **nobodys} for camera in cameras])


def _write(connection: Connection, holder: str, tokens: Mapping[str, int], until_s: float) -> None:
    named = {"holder": holder, "until_wall_s": until_s}
    _change(connection, [{"of": camera, "token": token, **named} for camera, token in tokens.items()])


def _change(connection: Connection, rows: list[dict[str, object]]) -> None:
    if rows:
        of_camera = camera_leases.c.camera == bindparam("of")
        changed: dict[str, BindParameter[object]] = {name: bindparam(name) for name in rows[0] if name != "of"}
        connection.execute(update(camera_leases).where(of_camera).values(changed), rows)


def _parts(names: list[str]) -> Iterator[list[str]]:
    return (names[at : at + _NAMES_AT_ONCE] for at in range(0, len(names), _NAMES_AT_ONCE))
