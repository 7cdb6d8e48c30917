"""Cameras whose events are switched off for a while."""

from __future__ import annotations

from sqlalchemy import Engine, delete, select
from sqlalchemy.exc import SQLAlchemyError

from streamwatch.clock import Clock
from streamwatch.errors import StoreError
from streamwatch.store.tables import snoozes

REFRESH_S = 2.0


def set_snooze(engine: Engine, camera: str, until_wall_s: float | None) -> None:
    """Switch a camera's events off until a Unix time; None switches them on.

    Raises:
        StoreError: the database refused.
    """
    try:
        with engine.begin() as connection:
            connection.execute(delete(snoozes).where(snoozes.c.camera == camera))
            if until_wall_s is not None:
                connection.execute(snoozes.insert().values(camera=camera, until_wall_s=until_wall_s))
    except SQLAlchemyError as error:
        raise StoreError(f"the snooze could not be written ({error.__class__.__name__})", hint="check the disk") from error


def list_snoozes(engine: Engine) -> dict[str, float]:
    """Until when each camera is snoozed, past ones too."""
    with engine.connect() as connection:
        return {str(row.camera): float(row.until_wall_s) for row in connection.execute(select(snoozes))}


class Snoozes:
    """What is snoozed, as a running daemon knows it: read again every 2 s, because another process writes it."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine, self._clock = engine, clock
        self._known: dict[str, float] = {}
        self._read_at_s = float("-inf")

    def snoozed(self, camera: str, _wall_s: float) -> bool:
        """Whether a camera is snoozed now. A recording's own times do not matter.

        Raises:
            StoreError: the database refused.
        """
        now_s = self._clock.monotonic_s()
        if now_s - self._read_at_s >= REFRESH_S:
            try:
                self._known, self._read_at_s = list_snoozes(self._engine), now_s
            except SQLAlchemyError as error:
                raise StoreError(f"snoozes could not be read ({error.__class__.__name__})", hint="check the disk") from error
        return self._clock.wall_s() < self._known.get(camera, 0.0)
