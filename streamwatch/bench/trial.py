"""The daemon itself, run for a while on so many cameras: what it scores, how late, and what it drops."""

from __future__ import annotations

import json
import os
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from streamwatch.bench.footage import Camera, write_clip
from streamwatch.clock import Clock, SystemClock
from streamwatch.config.schema import Config
from streamwatch.daemon.assembly import Surroundings
from streamwatch.daemon.service import Service
from streamwatch.detection.publisher import Subscribers
from streamwatch.inference.precision import HALF_FROM_FRAME, half_precision
from streamwatch.model.artifact.serialization import Provenance, save_model
from streamwatch.model.embedding.identity import resolve_device
from streamwatch.model.scene import SceneModel
from streamwatch.scores import FrameScore

SETTLE_S, SETTLE_AT_MOST_S = 4.0, 45.0
"""After the first frame of all: what is done once is done by then, and each camera's precision is chosen, where that does not
take longer than the second."""
START_WITHIN_S = 300.0
"""A daemon that has scored nothing by then is stopped: it has dropped everything."""


@dataclass(frozen=True)
class Trial:
    """What so many cameras came to, after the daemon had settled.

    Attributes:
        offered_fps: frames that all cameras asked to have scored in a second.
        scored_fps: frames that were.
        latency_s: from capture to score: median, 99th percentile, longest.
        slowest_fps: of the camera that was served least.
    """

    cameras: int
    offered_fps: float
    scored_fps: float
    latency_s: tuple[float, float, float]
    slowest_fps: float

    @property
    def dropped(self) -> float:
        """Share of what was offered that was not scored."""
        return max(1.0 - self.scored_fps / self.offered_fps, 0.0)


@dataclass
class Scores:
    """When each frame was scored and how late it was; told by the scoring thread.

    Attributes:
        cameras: that are watched; each has settled when so many of its frames were scored.
        on_settled: told when all have, or long enough was waited: from then on frames are counted.
    """

    clock: Clock
    cameras: int
    first_frames: int
    on_settled: Callable[[], None]
    latencies_s: list[tuple[float, float, str]] = field(default_factory=list)
    began_s: float | None = None
    settled_s: float = float("inf")
    seen: Counter[str] = field(default_factory=Counter)

    def on_score(self, scored: FrameScore, _counts: bool) -> None:
        """A frame was scored."""
        now_s, camera = self.clock.monotonic_s(), scored.frame.camera
        self.latencies_s.append((now_s, now_s - scored.frame.captured_at_s, camera))
        if self.settled_s > now_s:
            self._settle(now_s, camera)

    def _settle(self, now_s: float, camera: str) -> None:
        self.began_s = now_s if self.began_s is None else self.began_s
        self.seen[camera] += 1
        waited_s = now_s - self.began_s
        all_have = len(self.seen) == self.cameras and min(self.seen.values()) >= self.first_frames
        if (all_have and waited_s >= SETTLE_S) or waited_s >= SETTLE_AT_MOST_S:
            self.settled_s = now_s
            self.on_settled()


@dataclass(frozen=True)
class Bench:
    """Where trials are run: a folder, a model, and what every camera sends."""

    folder: Path
    model: SceneModel
    camera: Camera
    fps: float
    device: str = "auto"
    precision: str = "auto"

    def clip(self, duration_s: float) -> Path:
        """What every camera plays; written once for each duration."""
        path = self.folder / f"camera-{duration_s:g}s.mp4"
        return path if path.is_file() else write_clip(path, self.camera, duration_s)

    def run(self, cameras: int, duration_s: float) -> Trial:
        """A daemon on so many cameras, each with a model of its own, for so long.

        Raises:
            StreamwatchError: the daemon fails.
        """
        ended = threading.Event()
        watch = threading.Timer(duration_s, ended.set)
        scores = Scores(SystemClock(), cameras, self._frames_to_settle, watch.start)
        service = Service(
            self._config(cameras, self.clip(duration_s + SETTLE_S + SETTLE_AT_MOST_S)),
            until_eof=False,
            surroundings=Surroundings(Subscribers(scores=(scores.on_score,)), evidence_dir=self.folder / "evidence"),
        )

        def stop_when_ended() -> None:
            ended.wait(START_WITHIN_S + SETTLE_AT_MOST_S + duration_s)
            service.stop()

        threading.Thread(target=stop_when_ended, name="bench", daemon=True).start()
        try:
            service.run()
        finally:
            watch.cancel()
            ended.set()
        offered_fps = cameras * min(self.fps, self.camera.rate_hz)
        return trial_of(scores.latencies_s, cameras, offered_fps, scores.settled_s)

    @property
    def _frames_to_settle(self) -> int:
        """Of each camera: as many as are scored before its precision is chosen."""
        chosen = self.precision == "auto" and half_precision(resolve_device(self.device)) is not None
        return HALF_FROM_FRAME if chosen else 1

    def _config(self, cameras: int, clip: Path) -> Config:
        names = [f"camera-{number}" for number in range(cameras)]
        models = self.folder / "data" / "models"
        first = models / f"{names[0]}.safetensors"
        if not first.is_file():
            save_model(self.model, first, Provenance())
        for name in names[1:]:
            path = models / f"{name}.safetensors"
            if not path.is_file():
                os.link(first, path)  # one file: with its moments it is 250 MB
        identity = self.model.identity
        document = {
            "version": 1,
            "data_dir": str(self.folder / "data"),
            "device": self.device,
            "precision": self.precision,
            "backbone": {"name": identity.backbone, "weights": identity.weights, "dims": identity.dims, "seed": identity.seed},
            "defaults": {"fps": self.fps},
            "cameras": {name: {"source": str(clip)} for name in names},
            "clips": {"enabled": False},
            "metrics": {"listen": None},
            "web": {"listen": None},
        }
        return Config.model_validate(json.loads(json.dumps(document)))


def trial_of(scored: list[tuple[float, float, str]], cameras: int, offered_fps: float, from_s: float) -> Trial:
    """Figures from (time, latency, camera) of each scored frame: of what was scored after the daemon had settled.

    Args:
        from_s: when it had settled, which a batch did, whose frames are not counted; infinite if it never did.
    """
    after_s = from_s + cameras / offered_fps / 2
    counted = [(at_s, late_s, camera) for at_s, late_s, camera in scored if at_s > after_s]
    if not counted:
        return Trial(cameras, offered_fps, 0.0, (float("inf"),) * 3, 0.0)
    watched_s = max(scored[-1][0] - from_s, 1e-9)
    late = np.array([late_s for _, late_s, _ in counted])
    each = np.unique([camera for _, _, camera in counted], return_counts=True)[1]
    slowest = float(each.min()) / watched_s if len(each) == cameras else 0.0
    median, high = (float(np.quantile(late, q)) for q in (0.5, 0.99))
    return Trial(cameras, offered_fps, len(counted) / watched_s, (median, high, float(late.max())), slowest)
