"""What a changed configuration means for a running daemon: one table for all keys (docs/decisions/0014-reload.md)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from pydantic import BaseModel

from streamwatch.config.schema import CameraConfig, Config


class Effect(StrEnum):
    """What a reload does with a key that has changed."""

    LIVE = "at once"
    CAMERA = "opens the camera's stream anew"
    RESTART = "needs a restart of the daemon"


ON_RELOAD: Mapping[str, Effect] = {
    "version": Effect.RESTART,
    "data_dir": Effect.RESTART,
    "device": Effect.RESTART,
    "precision": Effect.RESTART,
    "backbone": Effect.RESTART,
    "database": Effect.RESTART,
    "shared_models": Effect.RESTART,
    "alerts": Effect.LIVE,
    "metrics.listen": Effect.RESTART,
    "web.listen": Effect.RESTART,
    "web.login": Effect.RESTART,
    "web.proxy": Effect.RESTART,
    "web.tls": Effect.RESTART,
    "web.insecure": Effect.RESTART,
    "web.public_url": Effect.LIVE,
    "web.peer_url": Effect.RESTART,
    "health": Effect.LIVE,
    "clips": Effect.RESTART,
    "retention": Effect.LIVE,
    "logging.level": Effect.LIVE,
    "update_at": Effect.LIVE,
    "shutdown_timeout": Effect.LIVE,
    "drain_timeout": Effect.LIVE,
}
"""Of all keys but those of ``defaults`` and ``cameras``; a key speaks for those below it."""

ON_CAMERA_RELOAD: Mapping[str, Effect] = {
    "source": Effect.CAMERA,
    "normal": Effect.LIVE,
    "enabled": Effect.CAMERA,
    "ignore": Effect.CAMERA,
    "threshold": Effect.LIVE,
    "zones": Effect.CAMERA,
    "schedule": Effect.LIVE,
    "privacy": Effect.CAMERA,
    "fps": Effect.CAMERA,
    "frame_rate": Effect.CAMERA,
    "stream": Effect.CAMERA,
    "alarm_budget": Effect.LIVE,
    "min_duration": Effect.LIVE,
    "end_delay": Effect.LIVE,
    "cooldown": Effect.LIVE,
    "max_duration": Effect.LIVE,
    "features": Effect.CAMERA,
    "motion_step": Effect.CAMERA,
    "regimes": Effect.CAMERA,
    "pixelate": Effect.CAMERA,
    "nightly_update": Effect.LIVE,
    "transport": Effect.CAMERA,
    "open_timeout": Effect.CAMERA,
    "read_timeout": Effect.CAMERA,
    "offline_after": Effect.CAMERA,
    "max_age": Effect.CAMERA,
    "gate": Effect.CAMERA,
}
"""Of a camera's keys, and of those in ``defaults``. What only decides about events leaves the stream alone."""


@dataclass(frozen=True)
class ConfigChange:
    """The difference between two configurations, camera by camera.

    Attributes:
        restarted: cameras whose stream must be opened anew.
        retuned: cameras whose policies change, their stream untouched.
        needs_restart: key paths that only a new start of the daemon can change.
        remodelled: of those restarted, cameras whose model is another.
        live: key paths, but cameras', that are applied at once.
    """

    removed: tuple[str, ...]
    added: tuple[str, ...]
    restarted: tuple[str, ...]
    retuned: tuple[str, ...]
    needs_restart: tuple[str, ...]
    remodelled: tuple[str, ...] = ()
    live: tuple[str, ...] = ()

    def with_models(self, replaced: Iterable[str]) -> ConfigChange:
        """The same, and these cameras' model files are others than those that run."""
        remodelled = tuple(c for c in replaced if c not in (*self.removed, *self.added))
        restarted = tuple(dict.fromkeys((*self.restarted, *remodelled)))
        retuned = tuple(c for c in self.retuned if c not in remodelled)
        return replace(self, restarted=restarted, retuned=retuned, remodelled=remodelled)


def effect_of(path: str) -> Effect:
    """What a reload does with a key path, but a camera's or a default's.

    Raises:
        KeyError: the table says nothing of it.
    """
    parts = path.split(".")
    known = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((ON_RELOAD[prefix] for prefix in known if prefix in ON_RELOAD), None) or ON_RELOAD[path]


def compare(old: Config, new: Config) -> ConfigChange:
    """What changes between two valid configurations."""
    before, after = old.enabled_cameras, new.enabled_cameras
    differing = {name: _camera_effects(old, new, name) for name in after if name in before}
    was, now = dict(_leaves(old)), dict(_leaves(new))
    changed = sorted(path for path in was.keys() | now.keys() if was.get(path) != now.get(path))
    return ConfigChange(
        removed=tuple(name for name in before if name not in after),
        added=tuple(name for name in after if name not in before),
        restarted=tuple(name for name, effects in differing.items() if Effect.CAMERA in effects),
        retuned=tuple(name for name, effects in differing.items() if effects == {Effect.LIVE}),
        needs_restart=tuple(path for path in changed if effect_of(path) is Effect.RESTART),
        live=tuple(path for path in changed if effect_of(path) is Effect.LIVE),
    )


def _camera_effects(old: Config, new: Config, name: str) -> set[Effect]:
    """What the keys of a camera that differ, its defaults applied, do on a reload."""
    settings = {key for key, value in old.settings(name) if value != getattr(new.settings(name), key)}
    own = set(CameraConfig.model_fields) - set(dict(old.settings(name)))
    mine = {key for key in own if getattr(old.cameras[name], key) != getattr(new.cameras[name], key)}
    return {ON_CAMERA_RELOAD[key] for key in settings | mine}


def _leaves(model: BaseModel, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Key paths and values of everything but cameras and defaults."""
    for name, value in model:
        path = f"{prefix}{name}"
        if path in ("cameras", "defaults"):
            continue
        if isinstance(value, BaseModel):
            yield from _leaves(value, f"{path}.")
        else:
            yield path, value
