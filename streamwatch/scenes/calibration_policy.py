"""What of a camera's configuration matters when normal footage is calibrated on: durations and zones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from streamwatch.config.schema import Config
from streamwatch.events.decision import EventPolicy
from streamwatch.records import BoolGrid
from streamwatch.scenes.zones import zone_masks


@dataclass(frozen=True)
class CalibrationPolicy:
    """What decides about events when normal footage is calibrated on.

    Attributes:
        zones: (h, w) True where a zone's cells are; None for the whole picture.
    """

    min_duration_s: float = 1.0
    end_delay_s: float = 2.0
    cooldown_s: float = 30.0
    zones: Mapping[str, BoolGrid | None] = field(default_factory=lambda: {"": None})

    def event_policy(self, end_threshold: float) -> EventPolicy:
        """What decides at this end threshold; the start threshold plays no role in what they are for."""
        durations = (self.min_duration_s, self.end_delay_s, self.cooldown_s)
        return EventPolicy(end_threshold / 0.95, end_threshold, *durations)


def calibration_policy_of(config: Config, camera: str, grid: tuple[int, int]) -> CalibrationPolicy:
    """A camera's, on a grid of (rows, columns)."""
    settings = config.settings(camera)
    return CalibrationPolicy(settings.min_duration, settings.end_delay, settings.cooldown, zone_masks(config, camera, grid))
