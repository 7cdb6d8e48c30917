"""The database of a running daemon: events, snoozes, what is delivered from it, and how long it is kept."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from streamwatch.clock import Clock
from streamwatch.config.models import Config
from streamwatch.errors import StoreError
from streamwatch.logs import about
from streamwatch.metrics import Metrics
from streamwatch.records import Event
from streamwatch.runtime.deliveries import Deliveries
from streamwatch.runtime.messages import Planner, links_to
from streamwatch.runtime.retention import Retainer
from streamwatch.store.event_store import EventStore
from streamwatch.store.outbox import Outbox
from streamwatch.store.sessions import open_database
from streamwatch.store.snoozes import Snoozes

log = logging.getLogger(__name__)


class Books:
    """Everything that is written down and sent.

    Args:
        folder: where the evidence is, and the database unless the configuration has a URL.
        on_full: told when the disk is full, and when that is over.

    Raises:
        StoreError: it cannot be opened; ConfigError: an endpoint's secret or template is none.
    """

    def __init__(
        self, config: Config, folder: Path, *, metrics: Metrics, clock: Clock, on_full: Callable[[bool], None]
    ) -> None:
        database = open_database(config.database.get_secret_value() if config.database else None, folder)
        planner = Planner(config.alerts, clock, links_to(config.web.public_url, clips=config.clips.enabled))
        outbox = Outbox(database)
        self.store, self.snoozes = EventStore(database, planner), Snoozes(database, clock)
        self.deliveries = Deliveries(
            config.alerts, outbox, planner, metrics=metrics, clock=clock, cameras=config.enabled_cameras
        )
        self._retention = config.retention
        self._retainer = Retainer(
            self.store, outbox, folder, lambda: self._retention, clock=clock, metrics=metrics, on_full=on_full
        )
        self._stop = threading.Event()
        self._retaining: threading.Thread | None = None

    def start(self, *, retain: bool) -> None:
        """Begin to deliver, and if asked to remove what is old."""
        self.deliveries.start()
        if retain:
            self._retaining = threading.Thread(target=self._retainer.run, args=(self._stop,), name="retention", daemon=True)
            self._retaining.start()

    def follow(self, config: Config) -> None:
        """Deliver and keep by another configuration from now on; raises as ``Deliveries.follow``."""
        self.deliveries.follow(config.alerts)
        self._retention = config.retention

    def close_left_open(self, cameras: Sequence[str] | None) -> list[Event]:
        """Close the events that a crash left open, of these cameras or of all, and have that told."""
        closed = self.store.close_left_open(cameras)
        for event in closed:
            log.warning("event %s of camera %s was left open by a crash; closed", event.id, event.camera, extra=about(event))
        return closed

    def beat(self) -> None:
        """Write the heartbeats that are due."""
        try:
            self.deliveries.beat()
        except StoreError as error:  # the pipeline will meet it too, and knows what to do
            log.warning("no heartbeat: %s", error)

    def close(self) -> None:
        """Release connections, whether anything was started or not."""
        self.deliveries.stop()
        self.store.close()

    def finish(self, *, drain_s: float) -> None:
        """Deliver what waits for so long, and end."""
        if drain_s and not self.deliveries.drain(drain_s):
            log.warning("not everything was delivered; it waits in the outbox")
        self.deliveries.stop()
        self._stop.set()
        if self._retaining:
            self._retaining.join()
