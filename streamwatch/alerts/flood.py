"""A flood of anomalies: what an endpoint's rate limit does not let through is told in one message."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from streamwatch.enums import EventType
from streamwatch.store.outbox.messages import Message, NewMessage

FLOODING = "anomaly."
"""Types that begin so are limited; that a camera is silent is always told."""
MAX_IDS = 100
DAY_S, HOUR_S = 86_400.0, 3600.0


class TokenBucket:
    """How many messages may be sent: an hour's worth at once, at least one, and then at the rate.

    Args:
        now_s: Unix time; the bucket is full then.
    """

    def __init__(self, per_day: float, now_s: float) -> None:
        self._rate_hz = per_day / DAY_S
        self._most = max(1.0, self._rate_hz * HOUR_S)
        self._held, self._at_s = self._most, now_s

    def available(self, now_s: float) -> int:
        """Whole messages that may be sent now."""
        self._held = min(self._most, self._held + self._rate_hz * max(now_s - self._at_s, 0.0))
        self._at_s = now_s
        return int(self._held + 1e-9)

    def take(self, count: int) -> None:
        """So many were sent."""
        self._held -= count


def digest_of(coalesced: Sequence[Message], now_s: float) -> NewMessage:
    """One message in the place of many, at least one."""
    last, cameras = coalesced[-1], sorted({message.camera for message in coalesced})
    events = list(dict.fromkeys(message.subject for message in coalesced))
    content = {
        "type": EventType.SYSTEM_DIGEST,
        "time": last.content["time"],
        "since": coalesced[0].content["time"],
        "text": f"{len(events)} more events on {len(cameras)} cameras",
        "events": len(events),
        "cameras": cameras,
        "event_ids": events[:MAX_IDS],
    }
    return NewMessage(str(uuid.uuid4()), last.endpoint, EventType.SYSTEM_DIGEST, EventType.SYSTEM_DIGEST, "", content, now_s)
