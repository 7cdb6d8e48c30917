"""Durations, sizes, rates and shares as people write them."""

from __future__ import annotations

import re
from datetime import time
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

_DURATION_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE_UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_BUDGET_UNITS_PER_DAY = {"hour": 24.0, "day": 1.0, "week": 1 / 7}

_DURATION = re.compile(r"^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)$")
_SIZE = re.compile(r"^(\d+(?:\.\d+)?)\s*(|KB|MB|GB|TB)$")
_BUDGET = re.compile(r"^(\d+(?:\.\d+)?)\s*/\s*(hour|day|week)$")
_TIME = re.compile(r"^([01]\d|2[0-3]):([0-5]\d)(?::00)?$")
_SHARE = re.compile(r"^(\d+(?:\.\d+)?)\s*%$")


def _bounded(value: float, at_most: float, rule: str) -> float:
    """The value; raises ValueError if there is no use for so much, or it is infinite."""
    if value > at_most:
        raise ValueError(f"must be {rule}")
    return value


def parse_duration_s(value: object) -> float:
    """``200ms``, ``1s``, ``20m``, ``2h``, ``30d`` as seconds. Raises ValueError for anything else."""
    match = _DURATION.match(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("must be a duration with a unit, like 200ms, 1s, 20m, 2h or 30d")
    return _bounded(float(match[1]) * _DURATION_UNITS_S[match[2]], 36_500 * 86_400.0, "a duration of at most 36500d")


def parse_size_bytes(value: object) -> int:
    """``20GB`` (powers of ten) or a plain number, as bytes. Raises ValueError for anything else."""
    match = _SIZE.match(str(value)) if isinstance(value, str | int) and not isinstance(value, bool) else None
    if match is None:
        raise ValueError("must be a size like 500MB or 20GB")
    return int(_bounded(float(match[1]) * _SIZE_UNITS[match[2]], 1e18, "a size of at most 1000000TB"))


def parse_budget_per_day(value: object) -> float:
    """``1/day``, ``2/hour``, ``0.5/week`` as alarms per day. Raises ValueError for anything else."""
    match = _BUDGET.match(value) if isinstance(value, str) else None
    if match is None or float(match[1]) <= 0:
        raise ValueError("must be a positive rate like 1/day, 2/hour or 0.5/week")
    return _bounded(float(match[1]) * _BUDGET_UNITS_PER_DAY[match[2]], 86_400.0, "a rate of at most 3600/hour")


def parse_share(value: object) -> float:
    """``5%`` as 0.05. Raises ValueError for anything else."""
    match = _SHARE.match(value) if isinstance(value, str) else None
    if match is None or float(match[1]) > 100:
        raise ValueError("must be a percentage like 5%")
    return float(match[1]) / 100


def parse_time_of_day(value: object) -> time:
    """``"03:00"`` as a local time of the day. Raises ValueError for anything else: unquoted, YAML reads 13:00 as 780."""
    match = _TIME.match(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError('must be a time of the day in quotes, like "03:00"')
    return time(int(match[1]), int(match[2]))


def _text_schema(pattern: re.Pattern[str]) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern.pattern})


DurationS = Annotated[float, BeforeValidator(parse_duration_s), _text_schema(_DURATION)]
SizeBytes = Annotated[int, BeforeValidator(parse_size_bytes), _text_schema(_SIZE)]
BudgetPerDay = Annotated[float, BeforeValidator(parse_budget_per_day), _text_schema(_BUDGET)]
Share = Annotated[float, BeforeValidator(parse_share), _text_schema(_SHARE)]
TimeOfDay = Annotated[time, BeforeValidator(parse_time_of_day), _text_schema(_TIME)]
