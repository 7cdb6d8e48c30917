"""Cameras whose events are switched off for a while."""

from __future__ import annotations

from sqlalchemy import Engine, delete, select

from streamwatch.clock import Clock
from streamwatch.store.sessions import reading, writing
from streamwatch.store.tables import snoozes

REFRESH_S = 2.0


def set_snooze(engine: Engine, camera: str, until_wall_s: float | None) -> None:
    """Switch a camera's events off until a Unix time; None switches them on.

    Raises:
        StoreError: the database refused.
    """
    with writing(engine, "the snooze could not be written") as connection:
        connection.execute(delete(snoozes).where(snoozes.c.camera == camera))
        if until_wall_s is not None:
            connection.execute(snoozes.insert().values(camera=camera, until_wall_s=until_wall_s))


def list_snoozes(engine: Engine) -> dict[str, float]:
    """Until when each camera is snoozed, past ones too.

    Raises:
        StoreError: the database refused.
    """
    with reading(engine, "snoozes") as connection:
        return {str(row.camera): float(row.until_wall_s) for row in connection.execute(select(snoozes))}


class Snoozes:
    """What is snoozed, as a running daemon knows it: read again every 2 s, because another process writes it.

    The scoring thread asks, and so the answer is from memory.
    """

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine, self._clock = engine, clock
        self._known: dict[str, float] = {}
        self._read_at_s = float("-inf")

    def refresh(self) -> None:
        """Read them again if it is time.

        Raises:
            StoreError: the database refused; what was known stays.
        """
        now_s = self._clock.monotonic_s()
        if now_s - self._read_at_s >= REFRESH_S:
            self._known, self._read_at_s = list_snoozes(self._engine), now_s

    def snoozed(self, camera: str, _wall_s: float) -> bool:
        """Whether a camera is snoozed now. A recording's own times do not matter."""
        return self._clock.wall_s() < self._known.get(camera, 0.0)
