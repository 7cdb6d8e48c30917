"""What a reload applies at once is in force afterwards: key by key, on a daemon that is built and does not run."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import time as time_of_day
from pathlib import Path
from typing import Any

import pytest

from streamwatch.config.changes import ON_RELOAD, Effect
from streamwatch.daemon.assembly import Components, Surroundings
from streamwatch.daemon.config_file import ConfigFile, ConfigFollower
from streamwatch.daemon.reconfigure import Reconfiguration
from streamwatch.daemon.service import Service
from streamwatch.enums import EventType
from streamwatch.records import EventChange
from streamwatch.store.outbox.administration import OutboxAdministration
from streamwatch.store.sessions import open_database
from tests.daemon.conftest import REFUSED, NoEngine
from tests.store.test_event_store import event


@dataclass
class Site:
    """A daemon that does not run, and its file."""

    path: Path
    document: dict[str, Any]
    service: Service
    reconfiguration: Reconfiguration

    @property
    def parts(self) -> Components:
        return self.service.parts

    def change(self, **keys: Any) -> None:
        self.document |= keys
        self.path.write_text(json.dumps(self.document))
        self.reconfiguration.ask()
        self.reconfiguration.follow()

    def messages(self) -> list[tuple[str, dict[str, Any]]]:
        """What an event is worth now."""
        self.parts.persistence.store.record(EventChange(EventType.ANOMALY_STARTED, event(time.time()), time.time()))
        engine = open_database(None, self.path.parent / "data")
        found = OutboxAdministration(engine).list_messages()
        engine.dispose()
        return [(message.endpoint, message.content["links"]) for message in found]


@pytest.fixture
def site(tmp_path: Path, model: Path, video: Path) -> Iterator[Site]:
    (tmp_path / "data/models").mkdir(parents=True)
    for camera in ("yard", "gate"):
        (tmp_path / f"data/models/{camera}.safetensors").hardlink_to(model)
    document = {
        "version": 1,
        "data_dir": str(tmp_path / "data"),
        "backbone": {"weights": "untrained", "dims": 5},
        "cameras": {"yard": {"source": str(video)}},
        "metrics": {"listen": None},
        "web": {"listen": None},
    }
    path = tmp_path / "site.yaml"
    path.write_text(json.dumps(document))
    file = ConfigFile(path)
    around = Surroundings(engine_factory=lambda *_: NoEngine())
    service = Service(file.load(), until_eof=False, config_file=file, surroundings=around)
    yield Site(path, document, service, Reconfiguration(service.parts, ConfigFollower(file)))
    service.close()
    logging.getLogger("streamwatch").setLevel(logging.NOTSET)


OPS = {"name": "ops", "url": "https://example.org/hook"}


def alerts_are_routed(site: Site) -> None:
    site.change(alerts={"webhooks": [OPS]})
    assert [endpoint for endpoint, _ in site.messages()] == ["ops"]


def links_lead_there(site: Site) -> None:
    site.change(alerts={"webhooks": [OPS]}, web={"listen": None, "public_url": "https://page.example.org"})
    ((_, links),) = site.messages()
    assert links["start"].startswith("https://page.example.org/starts/")


def readiness_asks_for_less(site: Site) -> None:
    assert not site.parts.readiness().ready
    site.change(health={"ready_share": "0%"})
    assert site.parts.readiness().ready


def it_is_kept_for_so_long(site: Site) -> None:
    site.change(retention={"days": 3})
    assert site.parts.config.value.retention.days == 3


def it_is_logged_from_there_on(site: Site) -> None:
    site.change(logging={"level": "error"})
    assert logging.getLogger("streamwatch").level == logging.ERROR


def models_are_updated_then(site: Site) -> None:
    site.change(update_at="04:30", defaults={"nightly_update": True})
    assert site.parts.config.value.nightly_at() == time_of_day(4, 30)


def stopping_takes_so_long(site: Site) -> None:
    site.change(shutdown_timeout="9s")
    assert site.parts.config.value.shutdown_timeout == 9


def draining_takes_so_long(site: Site) -> None:
    site.change(drain_timeout="9s")
    assert site.parts.config.value.drain_timeout == 9


APPLIED: dict[str, Callable[[Site], None]] = {
    "alerts": alerts_are_routed,
    "web.public_url": links_lead_there,
    "health": readiness_asks_for_less,
    "retention": it_is_kept_for_so_long,
    "logging.level": it_is_logged_from_there_on,
    "update_at": models_are_updated_then,
    "shutdown_timeout": stopping_takes_so_long,
    "drain_timeout": draining_takes_so_long,
}


@pytest.mark.parametrize("key", [key for key, effect in ON_RELOAD.items() if effect is Effect.LIVE])
def test_what_the_table_calls_live_is_in_force_after_a_reload(key: str, site: Site) -> None:
    APPLIED[key](site)
    assert site.parts.metrics.registry.get_sample_value("streamwatch_config_last_reload_successful") == 1


def test_what_needs_a_restart_is_named_and_stays(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="streamwatch"):
        site.change(clips={"enabled": False})
    assert [record.args for record in caplog.records if "started anew" in str(record.msg)] == [("clips.enabled",)]


def test_a_camera_that_is_added_is_announced_and_one_that_is_gone_is_not(site: Site, video: Path) -> None:
    both = {name: {"source": str(video)} for name in ("yard", "gate")}
    site.change(cameras=both)
    assert site.parts.fleet.cameras == ["yard", "gate"]
    site.change(cameras={"gate": both["gate"]})
    assert site.parts.fleet.cameras == ["gate"]
    site.parts.fleet.stop(10)


def test_a_file_that_is_refused_changes_nothing(site: Site) -> None:
    before = site.parts.config.value
    site.change(logging={"level": "loud"})
    assert site.parts.config.value is before
    assert site.parts.metrics.registry.get_sample_value("streamwatch_config_last_reload_successful") == 0


def test_a_fault_of_ours_while_it_is_applied_ends_no_daemon(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    before = site.parts.config.value
    object.__setattr__(site.parts, "models", None)
    with caplog.at_level(logging.ERROR, logger="streamwatch"):
        site.change(logging={"level": "error"})
    assert site.parts.config.value is before
    assert site.parts.metrics.registry.get_sample_value("streamwatch_config_last_reload_successful") == 0
    assert any(record.exc_info for record in caplog.records)


def test_a_model_that_the_engine_refuses_is_refused_before_anything_is_touched(
    site: Site, video: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before, models = site.parts.config.value, site.path.parent / "data/models"
    (models / f"{REFUSED}.safetensors").hardlink_to(models / "gate.safetensors")
    cameras = {name: {"source": str(video)} for name in ("gate", "yard", REFUSED)}
    site.change(cameras=cameras, logging={"level": "debug"})
    assert "of another backbone" in caplog.text
    assert site.parts.config.value is before
    assert site.parts.fleet.cameras == ["yard"]
    assert logging.getLogger("streamwatch").level != logging.DEBUG
