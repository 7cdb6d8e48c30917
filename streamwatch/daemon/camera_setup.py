"""What it takes to have a camera watched: its scenes in the engine, its monitor in the pipeline, its calibration shown."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from streamwatch.capture.liveness import Liveness
from streamwatch.capture.plans import CameraPlan, plan_of, source_of
from streamwatch.config.schema import Config
from streamwatch.detection.camera_monitor import CameraMonitor
from streamwatch.detection.live_measures import LiveMeasures
from streamwatch.detection.pipeline import Pipeline
from streamwatch.events.tamper import TamperDetector
from streamwatch.events.tracker import EventTracker
from streamwatch.evidence.collector import EvidenceCollector
from streamwatch.evidence.privacy import Privacy, privacy_of
from streamwatch.ids import uuid7
from streamwatch.inference.engine import WatchedScene
from streamwatch.inference.resilient_engine import ScoringEngine
from streamwatch.metrics import Metrics
from streamwatch.model.artifact.serialization import read_metadata
from streamwatch.recalibration.in_force import InForce
from streamwatch.scenes.calibration_status import CalibrationStatus
from streamwatch.scenes.model_files import CameraScenes, camera_model_paths, log_mismatches
from streamwatch.scenes.policy import ScenePolicy, scene_policy_for
from streamwatch.scenes.regimes import SceneSet

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Policies:
    """How a camera is judged: by the scene it begins with, and by regime if regimes are told apart."""

    first: ScenePolicy
    by_regime: Mapping[str, ScenePolicy]


@dataclass(frozen=True)
class PreparedCamera:
    """A camera that only needs to be put in its place, which takes neither files nor time."""

    scenes: CameraScenes
    monitor: CameraMonitor
    policy: ScenePolicy
    privacy: Privacy
    facts: Mapping[str, Any]
    offline_after_s: float | None


@dataclass(frozen=True)
class CameraSetup:
    """Has cameras watched: prepared by whoever wants it, and put in its place by the scoring thread between two batches.

    Attributes:
        snoozed: told a camera and a Unix time, whether its events are switched off.
        current: gives the configuration in force.
        in_force: what thresholds rest on besides the models.
        measures: what cameras measured; of one that is begun anew, what waits is of another model.
        watched: each camera as it was set up.
    """

    engine: ScoringEngine
    pipeline: Pipeline
    calibration: CalibrationStatus
    collector: EvidenceCollector
    liveness: Liveness
    metrics: Metrics
    snoozed: Callable[[str, float], bool]
    current: Callable[[], Config]
    in_force: InForce = field(default_factory=InForce)
    measures: LiveMeasures = field(default_factory=LiveMeasures)
    watched: dict[str, PreparedCamera] = field(default_factory=dict)

    def prepare(self, config: Config, camera: str, scenes: CameraScenes) -> PreparedCamera:
        """Everything that reads files or can fail.

        Raises:
            ModelMissing: its model has no thresholds, and none are set; ModelMismatch: it is of another backbone;
            SourceNotFound: its source is not there.
        """
        for scene in (scenes.first, *scenes.by_regime.values()):
            self.engine.prepared(camera, scene)
        settings, live = config.settings(camera), source_of(config, camera).live
        policies = self.policies(config, camera, scenes)
        first, start = policies.first, scenes.first.model.regime
        monitor = CameraMonitor(
            camera,
            [EventTracker(camera, policy, new_id=uuid7, zone=zone) for zone, policy in first.policies.items()],
            TamperDetector(live=live, calm_spread=first.calm_spread),
            settings.max_age if live else None,
            first.drift,
            SceneSet(policies.by_regime, start) if start and policies.by_regime else None,
        )
        return PreparedCamera(
            scenes,
            monitor,
            first,
            privacy_of(config, camera),
            facts_of(config, camera),
            settings.offline_after if live else None,
        )

    def policies(self, config: Config, camera: str, scenes: CameraScenes) -> Policies:
        """How ``camera`` is judged; raises ModelMissing as ``prepare``."""
        known = self.in_force.calibrations(config, camera, scenes)
        policies = {
            regime: scene_policy_for(config, camera, scene, self.snoozed, known[regime])
            for regime, scene in scenes.watched.items()
        }
        first = policies[scenes.first.model.regime if scenes.by_regime else None]
        return Policies(first, {regime: policies[regime] for regime in scenes.by_regime})

    def set_up(self, prepared: PreparedCamera) -> None:
        """Have a camera scored and its events tracked."""
        camera = prepared.monitor.camera
        self.watched[camera] = prepared
        self.measures.forget(camera)
        self.engine.watch(camera, prepared.policy.scene)
        self.pipeline.add(prepared.monitor)
        self.calibration.show(camera, prepared.policy.zones)
        self.collector.protect(camera, prepared.privacy)
        self.collector.describe(camera, prepared.facts)
        self.metrics.model_fitted_s.labels(camera).set(prepared.scenes.fitted_at_s)
        if prepared.offline_after_s is not None:
            self.liveness.watch(camera, prepared.offline_after_s)

    def retune(self, camera: str, policies: Policies) -> None:
        """Decide about ``camera`` in another way from now on; what is open stays open."""
        watching = self.pipeline.retune(camera, policies.first, policies.by_regime)
        if watching:
            self.calibration.show(camera, watching.zones)

    def scenes_of(self, camera: str) -> CameraScenes | None:
        """By which scenes a camera is watched; None for one that is not."""
        prepared = self.watched.get(camera)
        return prepared.scenes if prepared else None

    def forget(self, camera: str) -> None:
        """The camera is watched no more."""
        self.watched.pop(camera, None)
        self.measures.forget(camera)

    def apply(self, config: Config, camera: str, scenes: CameraScenes, on_overtaken: Callable[[], None]) -> None:
        """Decide by what is in force now; called from any thread.

        Args:
            on_overtaken: called instead if another configuration or other scenes were put to work by then.
        """
        policies = self.policies(config, camera, scenes)

        def take_up() -> None:
            prepared = self.watched.get(camera)
            same = prepared is not None and prepared.scenes is scenes and self.current() is config
            if prepared and same and prepared.policy.zones.keys() == policies.first.zones.keys():
                self.retune(camera, policies)
            else:
                on_overtaken()

        self.pipeline.post(take_up)


def camera_plan(config: Config, camera: str, scene: WatchedScene) -> CameraPlan:
    """How the camera is read: with the motion step that its model was learned with, because what it holds runs."""
    log_mismatches(config, camera, scene.model)
    return plan_of(config, camera, scene.model.motion_step_s if scene.model.sees_motion else None)


def show_regime(calibration: CalibrationStatus, camera: str, regime: str, policy: ScenePolicy | None) -> None:
    """Say that a camera's picture is of another regime, and whether that was learned."""
    about = {"camera": camera}
    if policy is None:
        what = "camera %s: a %s picture, of which it has no model: no alarms until `streamwatch fit`"
        log.warning(what, camera, regime, extra=about)
        calibration.unlearned(camera)
    else:
        log.info("camera %s: a %s picture, watched by the model of it", camera, regime, extra=about)
        calibration.show(camera, policy.zones)


def facts_of(config: Config, camera: str) -> dict[str, Any]:
    """By what a camera's events come about; secrets are masked before the configuration is digested."""
    return {
        "models": {path.name: read_metadata(path)["sha256"] for path in camera_model_paths(config, camera)},
        "config_sha256": hashlib.sha256(config.model_dump_json().encode()).hexdigest(),
    }
