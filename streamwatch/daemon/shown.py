"""What of a running daemon its site shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from streamwatch.clock import Clock
from streamwatch.daemon.camera_setup import PreparedCamera
from streamwatch.daemon.config_file import CurrentConfig
from streamwatch.detection.camera_monitor import CameraMonitor
from streamwatch.detection.publisher import Subscribers
from streamwatch.evidence.privacy import privacy_of
from streamwatch.web.live.feed import EventFeed
from streamwatch.web.live.levels import LevelHistory
from streamwatch.web.live.load import EngineLoad
from streamwatch.web.live.pictures import LivePictures


@dataclass(frozen=True)
class Shown:
    """What of the daemon the site shows; filled from its first frame on."""

    pictures: LivePictures
    levels: LevelHistory
    feed: EventFeed
    load: EngineLoad
    watched: Mapping[str, PreparedCamera]

    @staticmethod
    def of(config: CurrentConfig, watched: Mapping[str, PreparedCamera], clock: Clock) -> Shown:
        """Of a daemon that is being assembled.

        Args:
            watched: its cameras as they were set up, now and later.
        """
        pictures = LivePictures(
            clock,
            lambda camera: privacy_of(config.value, camera) if camera in config.value.cameras else None,
            lambda camera: monitor.start_threshold if (monitor := _monitor(watched, camera)) else 1.0,
        )
        return Shown(pictures, LevelHistory(clock), EventFeed(), EngineLoad(clock), watched)

    def among(self, subscribers: Subscribers) -> Subscribers:
        """Those who are told of what happens, and the site with them."""
        return replace(
            subscribers,
            changes=(*subscribers.changes, self.feed.change),
            notices=(*subscribers.notices, self.feed.notice),
            scores=(*subscribers.scores, self.pictures.record, self.levels.record),
        )

    def monitor_of(self, camera: str) -> CameraMonitor | None:
        """What watches a camera."""
        return _monitor(self.watched, camera)


def _monitor(watched: Mapping[str, PreparedCamera], camera: str) -> CameraMonitor | None:
    prepared = watched.get(camera)
    return prepared.monitor if prepared else None
