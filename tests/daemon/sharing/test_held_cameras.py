"""Daemons that are given one camera: one watches it, the other waits, and what the first writes after it lost it is refused."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from sqlalchemy import Engine

from streamwatch.clock import SystemClock
from streamwatch.config.schema import Config
from streamwatch.config.sharding import PlacedShare, Shard
from streamwatch.daemon.assembly import Components, Surroundings
from streamwatch.daemon.config_file import ConfigFile, ConfigFollower
from streamwatch.daemon.reconfigure import Reconfiguration
from streamwatch.daemon.service import Service
from streamwatch.daemon.sharing.held_cameras import LEASE_S, HeldCameras
from streamwatch.detection.waiting import Publication
from streamwatch.enums import EventType
from streamwatch.errors import StoreError
from streamwatch.records import EventChange
from streamwatch.store.processes.leases import CameraLeases, all_leases
from streamwatch.store.sessions import open_database
from streamwatch.threads import ThreadGuard
from tests.daemon.conftest import NoEngine
from tests.store.test_event_store import ended, event
from tests.test_retry import FakeClock


def site_of(cameras: tuple[str, ...], **keys: object) -> Config:
    sources = {camera: {"source": f"rtsp://127.0.0.1/{camera}"} for camera in cameras}
    return Config.model_validate({"version": 1, "cameras": sources, **keys})


@dataclass
class Process:
    """What one of several holds, and how often it was told that this is not what it watches."""

    database: Engine
    name: str
    clock: FakeClock
    told: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        leases = CameraLeases(self.database, self.name, clock=self.clock, lasts_s=LEASE_S)
        self.held = HeldCameras(leases, self.clock, lambda: self.told.append(self.clock.now_s))

    def watch(self, *cameras: str) -> list[str]:
        """Take up a configuration with these cameras; those that it has then."""
        narrowed = self.held.share_of(site_of(cameras))
        self.held.took_up()
        return list(narrowed.cameras)


@pytest.fixture
def begun(tmp_path: Path) -> Iterator[Callable[[str], Process]]:
    """Begins another process on one database and one clock."""
    clock = FakeClock()
    with ExitStack() as stack:

        def another(name: str) -> Process:
            database = open_database(None, tmp_path)
            stack.callback(database.dispose)
            return Process(database, name, clock)

        yield another


def test_who_comes_second_waits_until_the_first_is_gone(begun: Callable[[str], Process]) -> None:
    first, second = begun("first"), begun("second")
    assert first.watch("dock", "yard") == ["dock", "yard"]
    assert second.watch("yard", "gate") == ["gate"]
    assert second.held.elsewhere() == ["yard"]
    second.held.run_once()
    assert not second.told
    first.held.stop()
    second.held.run_once()
    assert second.told
    assert second.watch("yard", "gate") == ["yard", "gate"]
    assert not second.held.elsewhere()
    assert second.held.token_of("yard") == 2


def test_what_is_held_and_not_watched_is_told_until_it_is(begun: Callable[[str], Process]) -> None:
    """The configuration may be refused just then, or the database."""
    first, second = begun("first"), begun("second")
    first.watch("dock")
    second.watch("dock")
    second.clock.now_s += LEASE_S
    for _ in range(3):
        second.held.run_once()
    assert len(second.told) == 3
    second.watch("dock")
    second.held.run_once()
    assert len(second.told) == 3
    first.held.run_once()
    assert first.told, "it was away for too long"
    assert first.held.token_of("dock") == 1, "what it still says is said with what it had, and refused"


def test_what_a_refused_configuration_leaves_out_is_not_given_back(begun: Callable[[str], Process]) -> None:
    first, second = begun("first"), begun("second")
    first.watch("dock", "yard")
    first.held.share_of(site_of(("dock", "gate")))  # and it is not taken up
    first.held.run_once()
    assert second.watch("dock", "yard", "gate") == []
    first.watch("dock", "gate")
    first.held.run_once()
    second.held.run_once()
    assert second.watch("dock", "yard", "gate") == ["yard"]


def test_a_camera_that_was_lost_and_is_had_again_begins_anew(begun: Callable[[str], Process]) -> None:
    """What it still had open is another process's to tell of by then."""
    first, second = begun("first"), begun("second")
    first.watch("dock")
    first.clock.now_s += LEASE_S
    second.watch("dock")
    second.held.stop()
    first.held.run_once()
    assert first.told
    assert first.held.token_of("dock") == 1, "what it still says is refused"
    assert first.watch("dock") == []
    first.held.run_once()
    assert first.watch("dock") == ["dock"]
    assert first.held.token_of("dock") == 3


def test_what_a_process_holds_and_cannot_watch_it_leaves_to_others(begun: Callable[[str], Process]) -> None:
    first, second = begun("first"), begun("second")
    first.watch("dock")
    second.watch("dock")
    first.held.stop()
    for _ in range(12):  # its model is missing: no configuration with it is taken up
        second.held.run_once()
        second.held.share_of(site_of(("dock",)))
        second.held.refused()
        second.clock.now_s += LEASE_S / 3
        if first.watch("dock") == ["dock"]:
            break
    assert first.watch("dock") == ["dock"]


def test_two_that_take_a_camera_in_a_new_database_are_not_both_right(begun: Callable[[str], Process]) -> None:
    first, second = begun("first"), begun("second")
    first.watch("dock")
    second.watch("dock")
    with first.database.begin() as connection:
        connection.exec_driver_sql("DELETE FROM camera_leases")
    second.held.run_once()
    assert second.watch("dock") == ["dock"]
    first.held.run_once()
    assert first.watch("dock") == []
    first.watch("yard")  # whose row, and the dock's, are not there: it must go on
    with first.database.begin() as connection:
        connection.exec_driver_sql("DELETE FROM camera_leases")
    first.held.run_once()
    assert first.watch("gate") == ["gate"]


def test_leases_are_renewed_while_models_are_loaded(begun: Callable[[str], Process]) -> None:
    first, second = begun("first"), begun("second")
    first.watch("dock")
    kept = first.held.renewing(lambda _camera, scene: scene)
    for _ in range(5):
        first.clock.now_s += LEASE_S / 2
        kept("dock", None)  # type: ignore[arg-type]
    assert second.watch("dock") == []


def test_a_database_that_is_away_takes_no_camera(begun: Callable[[str], Process], caplog: pytest.LogCaptureFixture) -> None:
    first = begun("first")
    first.watch("dock")
    with first.database.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE camera_leases RENAME TO away")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            first.held.run_once()
    assert caplog.text.count("cameras could not be leased") == 1
    assert not first.told
    assert first.watch("dock") == ["dock"]
    with pytest.raises(StoreError, match="cameras could not be leased"):
        begun("second").watch("gate")
    with first.database.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE away RENAME TO camera_leases")
    first.held.run_once()
    assert first.held.token_of("dock") == 1


def test_another_database_learns_what_is_held(begun: Callable[[str], Process]) -> None:
    first, second = begun("first"), begun("second")
    second.watch("dock")
    second.held.stop()
    first.watch("dock")
    with first.database.begin() as connection:
        connection.exec_driver_sql("DELETE FROM camera_leases")
    first.held.run_once()
    assert [(lease.holder, lease.token) for lease in all_leases(first.database)] == [("first", 2)]


def test_a_database_that_hangs_holds_up_no_reload(begun: Callable[[str], Process]) -> None:
    """Which the thread does that feeds the service manager's watchdog."""
    first = begun("first")
    first.watch("dock")
    hangs, told = threading.Event(), threading.Event()
    leases = Hanging(first.database, hangs)
    held = HeldCameras(leases, SystemClock(), told.set)
    held.share_of(site_of(("yard",)))
    held.took_up()
    leases.hanging = True
    held.start(ThreadGuard(SystemClock()))
    assert list(held.share_of(site_of(("yard", "gate"))).cameras) == ["yard"]
    held.took_up()
    hangs.set()
    assert told.wait(10), "and what is new is taken as soon as may be"
    assert list(held.share_of(site_of(("yard", "gate"))).cameras) == ["yard", "gate"]
    held.stop()


class Hanging(CameraLeases):
    """Leases of a database that answers when it is let."""

    def __init__(self, database: Engine, let: threading.Event) -> None:
        super().__init__(database, "hanging", clock=SystemClock(), lasts_s=LEASE_S)
        self.hanging, self._let = False, let

    def hold(self, cameras: Collection[str]) -> Mapping[str, int]:
        if self.hanging:
            assert self._let.wait(10)
        return super().hold(cameras)


@dataclass
class Daemon:
    """One that is built and does not run."""

    service: Service
    file: ConfigFile

    def __post_init__(self) -> None:
        held = self.parts.held
        assert held
        self.held = held
        self.reconfiguration = Reconfiguration(self.parts, ConfigFollower(replace(self.file, narrow=held.share_of)))

    @property
    def parts(self) -> Components:
        return self.service.parts

    def renew(self) -> list[str]:
        """Renew, and take up what that comes to; the cameras that it watches then."""
        self.held.run_once()
        self.reconfiguration.ask()
        self.reconfiguration.follow()
        return self.parts.fleet.cameras

    def tell(self, change: EventChange) -> None:
        self.parts.publisher.publish(Publication(change))
        self.parts.publisher.publish_waiting()


@pytest.fixture
def started(tmp_path: Path, model: Path, video: Path) -> Iterator[Callable[[str], Daemon]]:
    """Starts a daemon in a folder of its own, on one database and one clock."""
    clock = FakeClock()
    with ExitStack() as stack:

        def another(name: str) -> Daemon:
            data = tmp_path / name
            (data / "models").mkdir(parents=True)
            (data / "models/yard.safetensors").hardlink_to(model)
            document = {
                "version": 1,
                "data_dir": str(data),
                "database": f"sqlite:///{tmp_path / 'events.db'}",
                "backbone": {"weights": "untrained", "dims": 5},
                "cameras": {"yard": {"source": str(video)}},
                "metrics": {"listen": None},
                "web": {"listen": None},
            }
            path = tmp_path / f"{name}.yaml"
            path.write_text(json.dumps(document))
            file = ConfigFile(path, Shard(0, 1))
            around = Surroundings(engine_factory=lambda *_: NoEngine(), clock=clock, shard=Shard(0, 1))
            service = Service(file.load(), until_eof=False, config_file=file, surroundings=around)
            stack.callback(service.close)
            return Daemon(service, file)

        yield another


def test_a_daemon_that_lost_its_camera_writes_nothing_of_it(
    started: Callable[[str], Daemon], caplog: pytest.LogCaptureFixture
) -> None:
    first, second = started("first"), started("second")
    assert (first.parts.fleet.cameras, second.parts.fleet.cameras) == (["yard"], [])
    assert b'streamwatch_cameras_elsewhere{shard="0/1"} 1.0' in second.parts.metrics.exposition("text/plain")[0]
    assert b'streamwatch_shard_info{shard="0/1"} 1.0' in second.parts.metrics.exposition("text/plain")[0]
    opened = event(camera="yard")
    first.tell(EventChange(EventType.ANOMALY_STARTED, opened, 101))
    second.parts.clock.wait(threading.Event(), LEASE_S)
    assert second.renew() == ["yard"]
    store = second.parts.persistence.store
    assert store.find(opened.id).reason == "crash", "who takes a camera over closes what its last process left open"
    first.tell(EventChange(EventType.ANOMALY_ENDED, ended(opened), 106))
    first.tell(EventChange(EventType.ANOMALY_STARTED, event(200.0, "yard"), 201))
    assert [one.id for one in store.list_events()] == [opened.id]
    assert store.find(opened.id).reason == "crash"
    assert caplog.text.count("another process watches this camera now") == 2
    assert first.renew() == []
    second.tell(EventChange(EventType.ANOMALY_STARTED, event(300.0, "yard"), 301))
    assert len(store.list_events()) == 2


def test_a_placed_camera_whose_recording_is_missing_keeps_nobody_else_from_being_watched(
    tmp_path: Path, model: Path, video: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever placed it knows of no files; a process that would not start leaves all of its cameras unwatched."""
    (tmp_path / "models").mkdir()
    for name in ("yard", "gone"):
        (tmp_path / f"models/{name}.safetensors").hardlink_to(model)
    placement, path = tmp_path / "north.json", tmp_path / "site.yaml"
    placement.write_text(json.dumps({"cameras": ["yard", "gone", "unlearned"]}))
    cameras = {"yard": {"source": str(video)}, "gone": {"source": str(tmp_path / "gone.mp4")}, "unlearned": {"source": "x"}}
    document = {
        "version": 1,
        "data_dir": str(tmp_path),
        "backbone": {"weights": "untrained", "dims": 5},
        "cameras": cameras,
        "metrics": {"listen": None},
        "web": {"listen": None},
    }
    path.write_text(json.dumps(document))
    file = ConfigFile(path, PlacedShare(placement))
    around = Surroundings(engine_factory=lambda *_: NoEngine(), clock=FakeClock(), shard=file.shard)
    service = Service(file.load(), until_eof=False, config_file=file, surroundings=around)
    daemon = Daemon(service, file)
    try:
        assert daemon.parts.fleet.cameras == ["yard"]
        assert "camera gone is not watched" in caplog.text
        assert "camera unlearned has no model here" in caplog.text
        (tmp_path / "gone.mp4").hardlink_to(video)
        assert daemon.renew() == ["yard", "gone"]
    finally:
        service.close()
