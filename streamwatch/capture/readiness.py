"""Whether the daemon does its work: enough cameras scored a frame lately."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from streamwatch.capture.status import FleetStatus
from streamwatch.clock import Clock
from streamwatch.config.schema import HealthConfig
from streamwatch.enums import CameraState


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether it is ready, and the cameras that have not scored a frame lately."""

    ready: bool
    lacking: tuple[str, ...]


def readiness(scored_s_ago: Mapping[str, float | None], finished: set[str], *, share: float, within_s: float) -> Readiness:
    """Decide from seconds since each camera's last scored frame; a recording that played to its end counts as well."""
    lacking = tuple(
        sorted(name for name, ago in scored_s_ago.items() if name not in finished and (ago is None or ago > within_s))
    )
    cameras = len(scored_s_ago)
    return Readiness(cameras - len(lacking) >= share * cameras, lacking)


def readiness_of(cameras: Sequence[str], status: FleetStatus, clock: Clock, options: HealthConfig) -> Readiness:
    """Decide for cameras as their status is now."""
    now_s = clock.monotonic_s()
    ago = {c: None if (at_s := status.scored_at_s(c)) is None else now_s - at_s for c in cameras}
    finished = {c for c in cameras if status.state_of(c) == CameraState.FINISHED}
    return readiness(ago, finished, share=options.ready_share, within_s=options.ready_within)
