"""Whether the daemon does its work: enough cameras scored a frame lately."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether it is ready, and the cameras that have not scored a frame lately."""

    ready: bool
    lacking: tuple[str, ...]


def readiness(scored_s_ago: Mapping[str, float | None], finished: set[str], *, share: float, within_s: float) -> Readiness:
    """Judge from seconds since each camera's last scored frame; a recording that played to its end counts as well."""
    lacking = tuple(
        sorted(name for name, ago in scored_s_ago.items() if name not in finished and (ago is None or ago > within_s))
    )
    cameras = len(scored_s_ago)
    return Readiness(cameras - len(lacking) >= share * cameras, lacking)
