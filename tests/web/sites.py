"""A site on a port of its own, with a database and a configuration file; what a daemon would fill in is filled in by hand."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import numpy as np

from streamwatch.capture.status import FleetStatus
from streamwatch.clock import Clock, SystemClock
from streamwatch.config.editing import ConfigEditor
from streamwatch.config.loading import load_config
from streamwatch.config.schema import Config, WebConfig
from streamwatch.detection.camera_monitor import CameraMonitor
from streamwatch.enums import CameraState, EndReason, EventType, Role
from streamwatch.events.decision import EventPolicy
from streamwatch.events.tamper import TamperDetector
from streamwatch.events.tracker import EventTracker, FieldJudge, ZonePolicy
from streamwatch.evidence.layout import path_of
from streamwatch.evidence.privacy import privacy_of
from streamwatch.ids import uuid7
from streamwatch.metrics import Metrics
from streamwatch.records import Event, EventChange, Frame, Peak, Reason, UInt8Array
from streamwatch.scores import FrameScore, Highest, MapScores
from streamwatch.store.event_store import EventStore
from streamwatch.store.outbox.messages import NewMessage
from streamwatch.store.sessions import open_database
from streamwatch.threads import ThreadGuard
from streamwatch.web.access.policy import AccessPolicy, access_policy
from streamwatch.web.context import Control, LiveView, SiteContext, Stores
from streamwatch.web.jobs import Jobs, Process
from streamwatch.web.live.cameras import LiveCameras, LiveSources
from streamwatch.web.live.feed import EventFeed
from streamwatch.web.live.levels import LevelHistory
from streamwatch.web.live.load import EngineLoad
from streamwatch.web.live.pictures import LivePictures
from streamwatch.web.live.shared import Shared
from streamwatch.web.server import WebServer
from streamwatch.web.site import build_site

CONFIG = """# Of the harbour.
version: 1
data_dir: {data}
cameras:
  # the north gate
  gate:
    source: rtsp://viewer:hidden-word@127.0.0.1:9/stream   # repaired in May
    alarm_budget: 1/day
  quay: {{source: "rtsp://127.0.0.1:9/quay", enabled: true}}
alerts:
  webhooks:
    - {{name: ops, url: "http://127.0.0.1:9/hook/with-a-token-0123456789", timeout: 300ms}}
"""
PIXELS = np.zeros((256, 256, 3), np.uint8)


@dataclass
class Striped:
    """A decoded picture with a left half that is white."""

    width: int = 640
    height: int = 360

    def rgb(self, width: int | None = None) -> UInt8Array:
        across = width or self.width
        picture = np.zeros((self.height * across // self.width, across, 3), np.uint8)
        picture[:, : across // 2] = 255
        return picture


@dataclass
class Scripted:
    """A command that says what it is told to."""

    said: Sequence[str] = ()
    code: int = 0
    terminated: bool = False

    def lines(self) -> Sequence[str]:
        return self.said

    def wait(self) -> int:
        return -15 if self.terminated else self.code

    def terminate(self) -> None:
        self.terminated = True


@dataclass
class Asked:
    """What commands were started, and what each comes to."""

    arguments: list[tuple[str, ...]] = field(default_factory=list)
    outcome: Callable[[], Process] = Scripted

    def __call__(self, arguments: Sequence[str]) -> Process:
        self.arguments.append(tuple(arguments))
        return self.outcome()


def quiet_id(at_s: float) -> str:
    return uuid7(at_s)


@dataclass
class TestSite:
    """What is behind a running site."""

    __test__ = False

    folder: Path
    config_path: Path
    context: SiteContext
    commands: Asked
    base_url: str = ""
    reloads: list[None] = field(default_factory=list)

    @property
    def config(self) -> Config:
        return load_config(self.config_path)

    def token(self, role: Role) -> str:
        return self.context.stores.access.create(f"a {role}", role, self.context.clock.wall_s())

    def http(self, token: str | None = None) -> httpx.Client:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.base_url, headers=headers, trust_env=False, timeout=20)

    def score(self, camera: str = "gate", level: float = 0.3, at_s: float | None = None, index: int = 0) -> FrameScore:
        """Have a frame scored, as the scoring thread tells the site."""
        live, clock = self.context.require_live(), self.context.clock
        wall_s = clock.wall_s() if at_s is None else at_s
        frame = Frame(camera, index, 0.0, wall_s, clock.monotonic_s() - 0.05, PIXELS, Striped())
        grid = np.full((64, 64), level, np.float32)
        maps = MapScores(level, grid, level, level, grid)
        scored = FrameScore(frame, level, lambda: maps, highest=(Highest(None, level, (("motion", 40 * level),)),))
        live.levels.record(scored, True)
        live.pictures.record(scored, True)
        return scored

    def event(self, start_s: float = 1_772_331_249.0, camera: str = "gate", *, open_: bool = False) -> Event:
        """Store an event with its evidence."""
        reason = Reason("motion", 98.8, 41.0, 32.8, 7200.0, 40.0)
        peak = Peak(2.4, start_s + 2, 2.0, fields=(("motion", 1.8),), reason=reason)
        opened = Event(uuid7(start_s), camera, "", start_s, 0.0, peak, 1.0, 0.7)
        store = self.context.stores.events
        store.record(EventChange(EventType.ANOMALY_STARTED, opened, start_s))
        for kind, content in (("snapshots", b"\xff\xd8picture"), ("clips", b"0123456789" * 100)):
            path = path_of(self.folder, kind, opened.id)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
        if open_:
            return opened
        ended = replace(opened, end_wall_s=start_s + 5, end_time_s=5.0, reason=EndReason.NORMAL)
        store.record(EventChange(EventType.ANOMALY_ENDED, ended, start_s + 5))
        return ended


class ToOps:
    """A router that tells ``ops`` of everything."""

    def of_change(self, change: EventChange) -> list[NewMessage]:
        event = change.event
        return [NewMessage(uuid7(change.at_wall_s), "ops", event.id, change.type, event.camera, {"a": 1}, change.at_wall_s)]

    def of_notice(self, _notice: object) -> list[NewMessage]:
        return []


def monitor_of(camera: str) -> CameraMonitor:
    judge = FieldJudge("motion", 41.0, 32.8, 7200.0, lambda _value: None)
    tracker = EventTracker(camera, ZonePolicy(EventPolicy(1.0, 0.7), judges=(judge,)), new_id=uuid7)
    return CameraMonitor(camera, [tracker], TamperDetector())


def site_in(folder: Path, clock: Clock | None = None, watched: Sequence[str] = ("gate",)) -> TestSite:
    """A site of which some cameras are watched, by nobody in truth."""
    clock = clock or SystemClock()
    folder.mkdir(exist_ok=True)
    config_path = folder / "site.yaml"
    config_path.write_text(CONFIG.format(data=folder / "data"))
    data = folder / "data"
    database = open_database(None, data)
    store, commands = EventStore(database, ToOps()), Asked()
    status, levels, monitors = FleetStatus(Metrics()), LevelHistory(clock), {name: monitor_of(name) for name in watched}
    for name in watched:
        status.set_state(name, CameraState.RUNNING)

    def config() -> Config:
        return load_config(config_path)

    pictures = LivePictures(clock, lambda c: privacy_of(config(), c) if c in config().cameras else None, lambda _camera: 1.0)
    sources = LiveSources(lambda: list(monitors), status, levels, monitors.get, lambda _camera: {}, clock)
    live = LiveView(LiveCameras(sources), pictures, levels, EventFeed(), EngineLoad(clock), Shared(clock))
    reloads: list[None] = []
    jobs = Jobs(clock, start=commands, on_done=lambda: reloads.append(None))
    control = Control(ConfigEditor(config_path), jobs, lambda: reloads.append(None), lambda: None)
    stores = Stores.of(database, store)
    context = SiteContext("streamwatch", config, data, clock, stores, clock.wall_s(), live=live, control=control)
    return TestSite(data, config_path, context, commands, reloads=reloads)


@contextmanager
def running(site: TestSite, policy: AccessPolicy | WebConfig | None = None) -> Iterator[TestSite]:
    """The same behind a listener, its jobs at work."""
    asked = policy if isinstance(policy, AccessPolicy) else access_policy(policy or WebConfig())
    guard = ThreadGuard(site.context.clock)
    tls = policy.tls if isinstance(policy, WebConfig) else None
    server = WebServer(build_site(site.context, asked), "127.0.0.1:0", tls=tls)
    site.base_url = f"{'https' if tls else 'http'}://127.0.0.1:{server.port}"
    logging.getLogger("httpx").setLevel(logging.WARNING)
    control = site.context.control
    assert control
    try:
        server.start(guard)
        control.jobs.start(guard)
        yield site
    finally:
        control.jobs.stop()
        server.stop()
        site.context.stores.events.close()
