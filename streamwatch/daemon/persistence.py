"""The database of a running daemon: events, snoozes, what is delivered from it, and how long it is kept."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection
from pathlib import Path

from streamwatch.alerts.manager import DeliveryManager
from streamwatch.alerts.router import NotificationRouter, links_to
from streamwatch.clock import Clock
from streamwatch.config.schema import Config
from streamwatch.daemon.config_file import CurrentConfig
from streamwatch.errors import LeaseLost, StoreError
from streamwatch.evidence.retention import RetentionTask
from streamwatch.logs import about
from streamwatch.metrics import Metrics
from streamwatch.records import Event
from streamwatch.store.database_file import DatabaseFile
from streamwatch.store.event_store import EventStore
from streamwatch.store.outbox.administration import OutboxAdministration
from streamwatch.store.outbox.leases import Outbox
from streamwatch.store.sessions import open_database_of, rebuild_tables
from streamwatch.store.snoozes import Snoozes
from streamwatch.threads import ThreadGuard

log = logging.getLogger(__name__)
HOUSEKEEPING_EVERY_S = 0.5
OUTBOX_EVERY_S = 5.0
"""As often as a scrape: counting what waits reads the whole index, 29 ms with 200,000 messages."""
SUPERVISED_S = 60.0
"""Without a sign of the supervising thread for so long, no heartbeat says that somebody watches."""
STOP_S = 5.0


class Persistence:
    """Everything that is stored and sent.

    Args:
        current: the configuration in force; how long evidence is kept follows it.
        folder: where the evidence is, and the database unless the configuration has a URL.
        on_full: told when the disk is full, and when that is over.
        on_replaced: told when the database's file was removed or replaced, and a new one was begun.
        token_of: gives the token of a camera's lease; None where cameras are not leased.

    Raises:
        StoreError: it cannot be opened; ConfigError: an endpoint's secret or template is none.
    """

    def __init__(
        self,
        current: CurrentConfig,
        folder: Path,
        *,
        metrics: Metrics,
        clock: Clock,
        on_full: Callable[[bool], None],
        on_replaced: Callable[[], None] = lambda: None,
        token_of: Callable[[str], int | None] = lambda _: None,
    ) -> None:
        config, self._clock = current.value, clock
        self.database = database = open_database_of(config, folder)
        router = NotificationRouter(config.alerts, clock, links_to(config.web.public_url, clips=config.clips.enabled))
        administration = OutboxAdministration(database)
        self.store, self.snoozes = EventStore(database, router, token_of), Snoozes(database, clock)
        self.snoozes.refresh()
        self.deliveries = DeliveryManager(
            config.alerts,
            Outbox(database),
            administration,
            router,
            metrics=metrics,
            clock=clock,
            cameras=config.enabled_cameras,
        )
        self._retention_task = RetentionTask(
            self.store, administration, folder, lambda: current.value.retention, clock=clock, metrics=metrics, on_full=on_full
        )
        self._file, self._on_replaced = DatabaseFile(database), on_replaced
        self._clips = config.clips.enabled  # a reload does not change it
        self._supervised_s = clock.monotonic_s()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, guard: ThreadGuard, *, retain: bool) -> None:
        """Begin to deliver, and if asked to remove what is old."""
        self.deliveries.start(guard)
        tasks = {"housekeeping": self._keep_house, **({"retention": self._retain} if retain else {})}
        self._threads = [guard.start(name, task, self._stop) for name, task in tasks.items()]

    def follow(self, config: Config) -> None:
        """Deliver by another configuration from now on; raises as ``DeliveryManager.follow``."""
        links = links_to(config.web.public_url, clips=self._clips)
        self.deliveries.follow(config.alerts, config.enabled_cameras, links)

    def stay_alive(self) -> None:
        """The supervising thread still goes round."""
        self._supervised_s = self._clock.monotonic_s()

    def close_left_open(self, cameras: Collection[str] | None) -> list[Event]:
        """Close the events that a crash left open, of these cameras or of all, and have that told."""
        closed = self.store.close_left_open(cameras) if cameras is None else self._close_each(cameras)
        for event in closed:
            log.warning("event %s of camera %s was left open by a crash; closed", event.id, event.camera, extra=about(event))
        return closed

    def _close_each(self, cameras: Collection[str]) -> list[Event]:
        """By camera, of which one may be another process's again by now."""
        closed = list[Event]()
        for camera in cameras:
            try:
                closed += self.store.close_left_open([camera])
            except LeaseLost as error:
                log.warning("%s: it closes what was left open", error)
        return closed

    def close(self) -> None:
        """Release connections, whether anything was started or not."""
        self.deliveries.stop(0.0)  # what hangs has had its time, in ``finish``
        self._file.close()
        self.store.close()

    def finish(self, *, drain_s: float, stop_s: float) -> None:
        """Deliver what waits for ``drain_s``, and end; attempts under way have ``stop_s``."""
        if drain_s and not self.deliveries.drain(drain_s):
            log.warning("not everything was delivered; it waits in the outbox")
        self.deliveries.stop(stop_s)
        self._stop.set()
        for thread in self._threads:
            thread.join(STOP_S)  # one that hangs in the database is left behind

    def _retain(self) -> None:
        self._retention_task.run(self._stop)

    def _keep_house(self) -> None:
        """What asks the database now and then, so that neither cameras nor /metrics wait for it."""
        refreshed_s, refused = -OUTBOX_EVERY_S, False
        while not self._clock.wait(self._stop, HOUSEKEEPING_EVERY_S):
            now_s = self._clock.monotonic_s()
            try:
                self._follow_file()
                if now_s - refreshed_s >= OUTBOX_EVERY_S:
                    refreshed_s = now_s
                    self.deliveries.refresh()
                if now_s - self._supervised_s < SUPERVISED_S:
                    self.deliveries.beat()
                self.snoozes.refresh()
                refused = False
            except StoreError as error:  # the publisher will meet it too, and knows what to do
                log.log(logging.DEBUG if refused else logging.WARNING, "housekeeping: %s", error)
                refused = True

    def _follow_file(self) -> None:
        if self._file.has_changed():
            rebuild_tables(self.database)
            log.error("the database's file was removed or replaced while it was in use; what is there now is used from here on")
            self._file.close()
            self._file = DatabaseFile(self.database)
            self._on_replaced()
