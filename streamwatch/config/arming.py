"""When a camera or zone is armed: windows of the week, as people write them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from pydantic import GetPydanticSchema, WithJsonSchema
from pydantic_core import core_schema

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MINUTES_A_DAY, MINUTES_A_WEEK = 1440, 10_080
_FORM = r"^((?:[A-Z][a-z]{2}(?:-[A-Z][a-z]{2})?)(?:,[A-Z][a-z]{2}(?:-[A-Z][a-z]{2})?)*) (\d\d):(\d\d)-(\d\d):(\d\d)$"
_WINDOW = re.compile(_FORM)
_RULE = "must be days and times, like 'Mon-Fri 18:00-07:00' or 'Sat,Sun 00:00-24:00'"


@dataclass(frozen=True, slots=True)
class Window:
    """Some days of the week, from a time to a time; an end before the start is on the next day.

    Attributes:
        text: as it was written.
        days: 0 for Monday.
        start_min, end_min: minutes of the day; an end of 1,440 is midnight.
    """

    text: str
    days: frozenset[int]
    start_min: int
    end_min: int

    def covers(self, minute_of_week: int) -> bool:
        """Whether a minute of the week (0 is Monday, 00:00) lies in it."""
        length = (self.end_min - self.start_min) % MINUTES_A_DAY or MINUTES_A_DAY
        since = ((minute_of_week - (day * MINUTES_A_DAY + self.start_min)) % MINUTES_A_WEEK for day in self.days)
        return any(minutes < length for minutes in since)


def parse_window(value: object) -> Window:
    """``Mon-Fri 18:00-07:00``. Raises ValueError for anything else."""
    match = _WINDOW.match(value) if isinstance(value, str) else None
    if match is None or not isinstance(value, str):
        raise ValueError(_RULE)
    days, *clock = match.groups()
    start_h, start_m, end_h, end_m = (int(part) for part in clock)
    start, end = 60 * start_h + start_m, 60 * end_h + end_m
    if max(start_m, end_m) > 59 or start >= MINUTES_A_DAY or end > MINUTES_A_DAY:
        raise ValueError(_RULE)
    return Window(value, frozenset(day for part in days.split(",") for day in _days(part)), start, end)


def _days(part: str) -> list[int]:
    """``Fri-Mon`` as 4, 5, 6, 0."""
    first, _, last = part.partition("-")
    if first not in DAYS or (last or first) not in DAYS:
        raise ValueError(_RULE)
    start, end = DAYS.index(first), DAYS.index(last or first)
    return [(start + n) % 7 for n in range((end - start) % 7 + 1)]


def armed(windows: Sequence[Window], wall_s: float) -> bool:
    """Whether something with these windows is armed at a Unix time, by the machine's local time; no windows are always."""
    if not windows:
        return True
    local = datetime.fromtimestamp(wall_s).astimezone()
    minute = local.weekday() * MINUTES_A_DAY + 60 * local.hour + local.minute
    return any(window.covers(minute) for window in windows)


def _schema(_source: Any, _handler: Any) -> core_schema.CoreSchema:
    shown = core_schema.plain_serializer_function_ser_schema(lambda window: window.text)
    return core_schema.no_info_plain_validator_function(
        lambda value: value if isinstance(value, Window) else parse_window(value), serialization=shown
    )


ArmedWindow = Annotated[Window, GetPydanticSchema(_schema), WithJsonSchema({"type": "string", "pattern": _FORM})]
