"""What a changed configuration means for a running daemon."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from streamwatch.config.models import CameraConfig, Config

_RULES_ONLY = frozenset(
    {
        "threshold",
        "alarm_budget",
        "min_duration",
        "end_delay",
        "cooldown",
        "max_duration",
        "normal",
        "schedule",
        "nightly_update",
    }
)
"""Keys that only the decision reads: the camera's stream goes on."""
_NEEDS_RESTART = ("data_dir", "device", "precision", "backbone", "database", "metrics", "web", "clips")


@dataclass(frozen=True)
class ConfigChange:
    """The difference between two configurations, camera by camera.

    Attributes:
        restarted: cameras whose stream must be opened anew.
        retuned: cameras whose decision rules change, their stream untouched.
        needs_restart: top-level keys that only a new start of the daemon can change.
        remodelled: of those restarted, cameras whose model is another.
    """

    removed: tuple[str, ...]
    added: tuple[str, ...]
    restarted: tuple[str, ...]
    retuned: tuple[str, ...]
    needs_restart: tuple[str, ...]
    remodelled: tuple[str, ...] = ()

    def with_models(self, replaced: Iterable[str]) -> ConfigChange:
        """The same, and these cameras' model files are others than those that run."""
        remodelled = tuple(c for c in replaced if c not in (*self.removed, *self.added))
        restarted = tuple(dict.fromkeys((*self.restarted, *remodelled)))
        retuned = tuple(c for c in self.retuned if c not in remodelled)
        return replace(self, restarted=restarted, retuned=retuned, remodelled=remodelled)


def compare(old: Config, new: Config) -> ConfigChange:
    """What changes between two valid configurations."""
    before, after = old.enabled_cameras, new.enabled_cameras
    both = [name for name in after if name in before]
    differing = {name: _differing_keys(old, new, name) for name in both}
    return ConfigChange(
        removed=tuple(name for name in before if name not in after),
        added=tuple(name for name in after if name not in before),
        restarted=tuple(name for name, keys in differing.items() if keys - _RULES_ONLY),
        retuned=tuple(name for name, keys in differing.items() if keys and not keys - _RULES_ONLY),
        needs_restart=tuple(key for key in _NEEDS_RESTART if getattr(old, key) != getattr(new, key)),
    )


def _differing_keys(old: Config, new: Config, name: str) -> set[str]:
    """Keys of a camera, its defaults applied, that are not the same in both."""
    settings = {key for key, value in old.settings(name) if value != getattr(new.settings(name), key)}
    own = set(CameraConfig.model_fields) - set(dict(old.settings(name)))
    return settings | {key for key in own if getattr(old.cameras[name], key) != getattr(new.cameras[name], key)}
