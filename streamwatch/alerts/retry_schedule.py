"""When a message that was not taken is sent again."""

from __future__ import annotations

import random
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
    if value.strip().isdigit():
        return float(value)
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(at.timestamp() - now_wall_s, 0.0)
