"""When a message that was not taken is sent again."""

from __future__ import annotations

import random
import re
from datetime import UTC
from email.utils import parsedate_to_datetime

SCHEDULE_S = (0.0, 5.0, 30.0, 120.0, 600.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 86_400.0)
"""Waits before the first and every further attempt; after the last one it is dead (docs/decisions/0010-delivery.md)."""
JITTER = 0.2
MAX_WAIT_S = 86_400.0


def wait_before_s(attempt: int, rng: random.Random, retry_after_s: float | None = None) -> float | None:
    """Seconds before attempt number ``attempt`` (0 is the first), up to a fifth more at random; None if there is none.

    Args:
        retry_after_s: what the receiver asked for; it is waited for at least, and at most a day.
    """
    if attempt >= len(SCHEDULE_S):
        return None
    wait_s = SCHEDULE_S[attempt] * (1 + JITTER * rng.random())
    return max(wait_s, min(retry_after_s or 0.0, MAX_WAIT_S))


def parse_retry_after_s(value: str | None, now_wall_s: float) -> float | None:
    """A Retry-After header (RFC 9110, section 10.2.3) in seconds from now; None if there is none, or it is no such thing."""
    if value is None:
        return None
    if re.fullmatch(r"[0-9]+", value.strip()):
        return min(float(value[:20]), MAX_WAIT_S)
    try:
        at = parsedate_to_datetime(value)
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        return min(max(at.timestamp() - now_wall_s, 0.0), MAX_WAIT_S)
    except (ValueError, TypeError, IndexError, OverflowError):  # what the library raises of dates that are none
        return None
