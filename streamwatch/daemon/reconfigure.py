"""A running daemon takes up another configuration, camera by camera; one that is refused changes nothing."""

from __future__ import annotations

import logging
from functools import partial

from streamwatch.config.changes import ConfigChange, compare
from streamwatch.config.schema import Config
from streamwatch.daemon.assembly import Components
from streamwatch.daemon.camera_setup import camera_plan
from streamwatch.daemon.config_file import ConfigFollower
from streamwatch.enums import EndReason
from streamwatch.errors import StreamwatchError
from streamwatch.logs import set_level
from streamwatch.retry import caught
from streamwatch.scenes.model_files import load_scenes
from streamwatch.scenes.shared_models.use import fetch_missing

log = logging.getLogger(__name__)


class Reconfiguration:
    """Applies what ``config.changes`` says that a reload applies (docs/decisions/0014-reload.md)."""

    def __init__(self, parts: Components, follower: ConfigFollower) -> None:
        self._parts, self._follower = parts, follower

    def ask(self) -> None:
        """Read the configuration again soon."""
        self._follower.ask()

    def follow(self) -> None:
        """Apply a new configuration, or say why not and keep the one that runs."""
        new = self._follower.poll()
        if new is None:
            return
        refused = new if isinstance(new, Exception) else self._try_apply(new)
        self._parts.metrics.config_reloaded.set(0 if refused else 1)
        self._parts.config.refused = str(refused) if refused else None
        if refused and self._parts.held:
            self._parts.held.refused()
        if refused:
            log.error("configuration not reloaded, the old one goes on: %s", refused)

    def _try_apply(self, new: Config) -> Exception | None:
        """Apply it; what refused it. A fault of ours is logged with its stack and ends no daemon: the cameras go on."""
        failure = caught(lambda: self._apply(new, self._change_to(new)))
        if failure is not None and not isinstance(failure, StreamwatchError):
            log.error("internal fault while a configuration was applied", exc_info=failure)
        return failure

    def _change_to(self, new: Config) -> ConfigChange:
        change = compare(self._parts.config.value, new)
        return change.with_models(self._parts.models.replaced(new, self._parts.fleet.cameras))

    def _apply(self, new: Config, change: ConfigChange) -> None:
        """Touch the cameras that changed and no other; everything that can fail comes first."""
        parts = self._parts
        scenes = load_scenes(new, (*change.added, *change.restarted, *change.retuned), parts.engine.prepared, fetch_missing)
        begun = (*change.added, *change.restarted)
        plans = {camera: camera_plan(new, camera, scenes[camera].first) for camera in begun}
        prepared = {camera: parts.setup.prepare(new, camera, scenes[camera]) for camera in begun}
        policies = {camera: parts.setup.policies(new, camera, scenes[camera]) for camera in change.retuned}
        if parts.held and change.added:  # what another process left open when it lost them
            parts.close_left_open(change.added, new)
        for key in change.needs_restart:
            log.warning("configuration: %s changes only when streamwatch is started anew", key)
        parts.persistence.follow(new)
        set_level(new.logging.level)
        parts.config.value = new
        for camera in change.removed:
            self._dismiss(camera, EndReason.CAMERA_REMOVED)
        for camera in change.retuned:
            parts.pipeline.post(partial(parts.setup.retune, camera, policies[camera]))
        for camera, plan in plans.items():
            if camera in change.restarted:
                # Holds for the event that ends by it, too.
                parts.pipeline.post(partial(parts.collector.protect, camera, prepared[camera].privacy))
                remodelled = camera in change.remodelled
                self._dismiss(camera, EndReason.MODEL_REPLACED if remodelled else EndReason.CAMERA_REMOVED)
            parts.models.record(new, camera)
            parts.pipeline.post(partial(parts.setup.set_up, prepared[camera]))
            parts.fleet.add(camera, plan)
            parts.fleet.start(camera)
        if parts.held:
            parts.held.took_up()
        log.info("configuration reloaded: %s", change)

    def _dismiss(self, camera: str, reason: EndReason) -> None:
        """Stop reading, scoring and tracking a camera; its open event ends for ``reason``."""
        parts = self._parts
        parts.fleet.remove(camera)
        parts.liveness.forget(camera)
        parts.ends.forget(camera)
        for shown in (parts.shown.levels, parts.shown.pictures):
            shown.forget(camera)
            parts.pipeline.post(partial(shown.forget, camera))  # and what of it was scored meanwhile
        parts.persistence.deliveries.present.forget(camera)
        parts.pipeline.post(partial(parts.pipeline.remove, camera, reason))
        parts.pipeline.post(partial(parts.setup.forget, camera))
