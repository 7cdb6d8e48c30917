"""UUIDv7 (RFC 9562, section 5.7): ids that sort by time. The standard library has them from Python 3.14."""

from __future__ import annotations

import secrets
import uuid


def uuid7(wall_s: float) -> str:
    """A fresh UUIDv7 for a Unix time: 48 bits of milliseconds, 74 random bits."""
    milliseconds = int(wall_s * 1000) & (2**48 - 1)
    value = milliseconds << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))
