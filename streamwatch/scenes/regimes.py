"""A camera's scenes, one for every regime that it was learned in, and which of them watches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from streamwatch.events.tamper import featureless_kind
from streamwatch.model.regime import DAY, GREY, RegimeSwitch
from streamwatch.records import Frame
from streamwatch.scenes.policy import ScenePolicy


@dataclass(frozen=True)
class RegimeChange:
    """The regime that a camera's picture is of from now on; ``policy`` is None if it was not learned."""

    regime: str
    policy: ScenePolicy | None


class SceneSet:
    """Follows which regime a camera's picture is of.

    Darkness that was not learned is a fault of the picture, and the tamper detector's to tell.

    Args:
        start: the regime of the scene that watches first.

    Attributes:
        watching: the regime of the scene that watches now.
    """

    def __init__(self, by_regime: Mapping[str, ScenePolicy], start: str) -> None:
        self._by_regime, self.watching = by_regime, start
        self._switch = RegimeSwitch(start, {*by_regime, DAY, GREY})
        self._due: str | None = None

    def shows(self, frame: Frame) -> bool:
        """Take a frame that the watching scene scored; whether that is the scene it shows."""
        if featureless_kind(frame.pixels) is None:
            self._due = self._switch.observe(frame.pixels, frame.wall_s) or self._due
        return self._due is None and self._switch.settled == self.watching in self._by_regime

    @property
    def due(self) -> bool:
        """Whether another scene is to be taken up before the next batch."""
        return self._due is not None

    def take_up(self) -> RegimeChange | None:
        """Watch by the regime that is due; None if none is."""
        if self._due is None:
            return None
        self.watching, self._due = self._due, None
        return RegimeChange(self.watching, self._by_regime.get(self.watching))

    def retune(self, by_regime: Mapping[str, ScenePolicy]) -> ScenePolicy | None:
        """Decide by other policies from now on; that of the scene that watches."""
        self._by_regime = by_regime
        return by_regime.get(self.watching)
