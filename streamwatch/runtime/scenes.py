"""A camera's scenes, one for every regime that it was learned in, and which of them watches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from streamwatch.config.models import Config
from streamwatch.events.drift import DriftMonitor
from streamwatch.events.tamper import featureless_kind
from streamwatch.events.tracker import Judgement
from streamwatch.model.regime import DAY, GREY, RegimeSwitch
from streamwatch.records import Frame
from streamwatch.runtime.engine import WatchedScene
from streamwatch.runtime.judging import ZoneJudgement, judgements_for


@dataclass(frozen=True)
class SceneTerms:
    """One scene, and by what its scores are judged.

    Attributes:
        judged: by zone.
        calm_spread: what the spread of its normal footage stays below; None if it does not say.
        drift: None for a model that does not say what spread is usual.
    """

    scene: WatchedScene
    judged: Mapping[str, ZoneJudgement]
    calm_spread: float | None
    drift: DriftMonitor | None

    @property
    def judgements(self) -> dict[str, Judgement]:
        """What the trackers judge by, by zone."""
        return {zone: judged.judgement for zone, judged in self.judged.items()}


def terms_for(config: Config, camera: str, scene: WatchedScene, snoozed: Callable[[str, float], bool]) -> SceneTerms:
    """The terms of one of a camera's scenes; raises as ``judgements_for``."""
    calibration = scene.model.calibration_
    usual, calm = (calibration.usual_spread, calibration.calm_spread) if calibration else (None, None)
    drift = DriftMonitor(usual, calm) if usual is not None and calm is not None else None
    return SceneTerms(scene, judgements_for(config, camera, scene.model, snoozed), calm, drift)


class SceneSet:
    """Follows which regime a camera's picture is of.

    Darkness that was not learned is a fault of the picture, and the tamper detector's to tell.

    Args:
        start: the regime of the scene that watches first.
        on_switch: told of every switch: the regime, and its terms if it was learned.
    """

    def __init__(
        self, by_regime: Mapping[str, SceneTerms], start: str, on_switch: Callable[[str, SceneTerms | None], None]
    ) -> None:
        self._by_regime, self._watching, self._on_switch = by_regime, start, on_switch
        self._switch = RegimeSwitch(start, {*by_regime, DAY, GREY})
        self._due: str | None = None

    def shows(self, frame: Frame) -> bool:
        """Take a frame that the watching scene scored; whether that is the scene it shows."""
        if featureless_kind(frame.pixels) is None:
            self._due = self._switch.observe(frame.pixels, frame.wall_s) or self._due
        return self._due is None and self._switch.settled == self._watching in self._by_regime

    @property
    def due(self) -> bool:
        """Whether another scene is to be taken up before the next batch."""
        return self._due is not None

    def take_up(self) -> SceneTerms | None:
        """The terms of the regime that is due; None if it was not learned."""
        if self._due is not None:
            self._watching, self._due = self._due, None
            self._on_switch(self._watching, self._by_regime.get(self._watching))
        return self._by_regime.get(self._watching)

    def retune(self, by_regime: Mapping[str, SceneTerms]) -> SceneTerms | None:
        """Judge in another way from now on; the terms of the scene that watches."""
        self._by_regime = by_regime
        return by_regime.get(self._watching)
