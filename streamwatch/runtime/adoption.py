"""What it takes to have a camera watched: its scenes in the engine, its trackers in the pipeline, its figures on the board."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from streamwatch.config.models import Config
from streamwatch.events.ids import uuid7
from streamwatch.events.tamper import TamperDetector
from streamwatch.events.tracker import EventTracker
from streamwatch.metrics import Metrics
from streamwatch.model.artifact import read_metadata
from streamwatch.runtime.evidence import EvidenceKeeper
from streamwatch.runtime.fleet import source_of
from streamwatch.runtime.judging import CalibrationBoard
from streamwatch.runtime.liveness import Liveness
from streamwatch.runtime.models import CameraScenes, ModelFiles, other_regimes
from streamwatch.runtime.pipeline import Pipeline, WatchedCamera
from streamwatch.runtime.resilience import ScoringEngine
from streamwatch.runtime.scenes import SceneSet, SceneTerms, terms_for
from streamwatch.runtime.snapshots import Privacy

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Adoption:
    """Has cameras watched; called before the pipeline runs, or between two of its batches.

    Attributes:
        snoozed: told a camera and a Unix time, whether its events are switched off.
    """

    engine: ScoringEngine
    pipeline: Pipeline
    board: CalibrationBoard
    evidence: EvidenceKeeper
    models: ModelFiles
    liveness: Liveness
    metrics: Metrics
    snoozed: Callable[[str, float], bool]

    def adopt(self, config: Config, camera: str, scenes: CameraScenes) -> None:
        """Have ``camera`` scored and its events tracked.

        Raises:
            ModelMissing: its model has no thresholds, and none are set; ModelMismatch: it is of another backbone.
        """
        self.models.note(config, camera)
        self.engine.watch(camera, scenes.first)
        settings, live = config.settings(camera), source_of(config, camera).live
        first = terms_for(config, camera, scenes.first, self.snoozed)
        trackers = [EventTracker(camera, j, new_id=uuid7, zone=zone) for zone, j in first.judgements.items()]
        tamper = TamperDetector(live=live, calm_spread=first.calm_spread)
        switching = self._scene_set(config, camera, scenes, first)
        watched = WatchedCamera(trackers, tamper, settings.max_age if live else None, first.drift, switching)
        self.pipeline.add(camera, watched)
        self.board.show(camera, first.judged)
        self.evidence.protect(camera, Privacy(config.cameras[camera].privacy, settings.pixelate))
        self.evidence.describe(camera, _facts(config, camera))
        self.metrics.model_fitted_s.labels(camera).set(scenes.fitted_at_s)
        if live:
            self.liveness.watch(camera, settings.offline_after)

    def retune(self, config: Config, camera: str, scenes: CameraScenes) -> None:
        """Judge ``camera`` in another way from now on; what is open stays open."""
        first = terms_for(config, camera, scenes.first, self.snoozed)
        watching = self.pipeline.retune(camera, first, self._by_regime(config, camera, scenes, first))
        if watching:
            self.board.show(camera, watching.judged)

    def _scene_set(self, config: Config, camera: str, scenes: CameraScenes, first: SceneTerms) -> SceneSet | None:
        start = scenes.first.model.regime
        if start is None or not scenes.by_regime:
            return None
        return SceneSet(self._by_regime(config, camera, scenes, first), start, partial(self._switched, camera))

    def _by_regime(self, config: Config, camera: str, scenes: CameraScenes, first: SceneTerms) -> dict[str, SceneTerms]:
        return {
            regime: first if scene is scenes.first else terms_for(config, camera, scene, self.snoozed)
            for regime, scene in scenes.by_regime.items()
        }

    def _switched(self, camera: str, regime: str, terms: SceneTerms | None) -> None:
        if terms is None:
            log.warning(
                "camera %s: a %s picture, of which it has no model: no alarms until `streamwatch fit`",
                camera,
                regime,
                extra={"camera": camera},
            )
            self.board.unlearned(camera)
        else:
            log.info("camera %s: a %s picture, watched by the model of it", camera, regime, extra={"camera": camera})
            self.board.show(camera, terms.judged)


def _facts(config: Config, camera: str) -> dict[str, Any]:
    """By what a camera's events come about; secrets are masked before the configuration is digested."""
    path = config.model_path(camera)
    files = dict.fromkeys((path, *other_regimes(path).values()))
    return {
        "models": {file.name: read_metadata(file)["sha256"] for file in files},
        "config_sha256": hashlib.sha256(config.model_dump_json().encode()).hexdigest(),
    }
