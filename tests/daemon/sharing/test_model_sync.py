"""A daemon takes up what was learned on another machine, and shares what was learned here."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field

import pytest

from streamwatch.daemon.sharing.model_sync import ModelSync
from streamwatch.errors import SharedModelsError
from streamwatch.scenes.shared_models.store import Sync
from streamwatch.threads import ThreadGuard
from tests.test_retry import FakeClock


@dataclass
class Store:
    """Comes to what it is told for each camera."""

    of: dict[str, Sync | SharedModelsError]
    asked: list[str] = field(default_factory=list)

    def sync(self, camera: str) -> Sync:
        self.asked.append(camera)
        result = self.of[camera]
        if isinstance(result, SharedModelsError):
            raise result
        return result


def test_other_models_are_taken_up_once(caplog: pytest.LogCaptureFixture) -> None:
    store = Store({"dock": Sync.PULLED, "yard": SharedModelsError("cannot be reached"), "gate": Sync.PUSHED})
    pulled: list[None] = []
    sync = ModelSync(store, lambda: list(store.of), lambda: pulled.append(None), FakeClock())
    with caplog.at_level(logging.WARNING):
        sync.run_once()
        sync.run_once()
    assert store.asked == ["dock", "yard", "gate"] * 2
    assert len(pulled) == 2
    assert [record.message for record in caplog.records] == ["camera yard: cannot be reached"], "the same is told once"
    store.of = dict.fromkeys(store.of, Sync.SAME)
    sync.run_once()
    assert len(pulled) == 2


def test_it_asks_until_it_is_stopped() -> None:
    store, asked = Store({"dock": Sync.PULLED}), threading.Semaphore(0)
    sync = ModelSync(store, lambda: ["dock"], asked.release, FakeClock())
    sync.start(ThreadGuard(FakeClock()))
    for _ in range(3):
        assert asked.acquire(timeout=10)
    sync.stop()
