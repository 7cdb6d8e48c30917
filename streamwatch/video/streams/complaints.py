"""What FFmpeg says while it decodes: much of what is lost or undecodable shows in its log and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import av

_HARMLESS = (
    "deprecated pixel format",
    "co located POCs unavailable",
    "non-existing PPS",
    "no frame!",
    "Could not find codec parameters",
    "APP fields",
    "EXIF",
)
_WORDS = ("missed", "conceal", "overread")
"""Of warnings that mean it."""
Decoded = TypeVar("Decoded")


def listen() -> None:
    """Have FFmpeg say what it finds wrong, before a stream is opened: it is silent by default.

    And each time that it finds it: PyAV keeps back what is said twice in a row, by whichever stream, until another thing is
    said, so that the second damage would be nobody's, and later somebody else's.
    """
    av.logging.set_level(av.logging.WARNING)
    av.logging.set_skip_repeated(False)


def heard(work: Callable[[], Decoded]) -> tuple[Decoded, bool]:
    """What ``work`` returns, and whether FFmpeg told of damage while it was done in this thread; see ``listen``."""
    with av.logging.Capture(local=True) as complaints:
        done = work()
    return done, any(means_damage(level, text) for level, _, text in complaints)


def means_damage(level: int, text: str) -> bool:
    """Whether a line of FFmpeg's log tells of lost or undecodable data ("RTP: missed 3 packets", "concealing 40 DC")."""
    if any(harmless in text for harmless in _HARMLESS):
        return False
    return level <= av.logging.ERROR or any(word in text for word in _WORDS) or "corrupt" in text.lower()
