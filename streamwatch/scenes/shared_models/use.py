"""When models are shared: before they are read, and after they were changed."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from streamwatch.config.schema import Config
from streamwatch.errors import SharedModelsError, StreamwatchError
from streamwatch.scenes.shared_models.store import SharedModels, Sync

log = logging.getLogger(__name__)


@lru_cache(maxsize=8)
def _store(url: str, folder: Path) -> SharedModels:
    return SharedModels(url, folder)


def shared_models_of(config: Config) -> SharedModels | None:
    """A configuration's; None where each machine has its own. Raises as ``SharedModels``."""
    url = config.shared_models.get_secret_value() if config.shared_models else None
    return _store(url, config.data_dir / "models") if url else None


def fetch(config: Config, camera: str) -> Sync:
    """Take up what is shared of a camera's models before they are read; what cannot be had is told, and those here are used.

    Raises:
        ConfigError: see ``SharedModels``.
    """
    store = shared_models_of(config)
    if store is None:
        return Sync.SAME
    try:
        return store.sync(camera)
    except StreamwatchError as error:
        log.warning("%s", error)
        return Sync.SAME


def fetch_missing(config: Config, camera: str) -> Sync:
    """The same, of a camera whose model is not here: who watches cannot wait for a store each time that something changes."""
    return Sync.SAME if config.model_path(camera).is_file() else fetch(config, camera)


@contextmanager
def gathering(unshared: list[SharedModelsError]) -> Iterator[None]:
    """Go on with other cameras where one cannot be shared; raised at the end, of what was gathered."""
    try:
        yield
    except SharedModelsError as error:
        log.warning("%s", error)
        unshared.append(error)


@contextmanager
def shared(config: Config, *cameras: str) -> Iterator[None]:
    """Change the models of cameras: what others changed is taken up before, and what was changed is shared afterwards.

    Raises:
        SharedModelsError: it cannot be shared; this machine's next word to the store does so.
    """
    for camera in cameras:
        fetch(config, camera)
    yield
    if store := shared_models_of(config):
        for camera in cameras:
            store.sync(camera)
