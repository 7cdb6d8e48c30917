"""How a camera is read: from its configuration, and from what its model was learned with."""

from __future__ import annotations

from dataclasses import dataclass

from streamwatch.config.schema import Config
from streamwatch.evidence.privacy import privacy_of
from streamwatch.video.clips.feed import Cover
from streamwatch.video.sources import Source, camera_source
from streamwatch.video.streams.opener import StreamOptions, stream_options

SLACK_S = 20.0


@dataclass(frozen=True)
class ClipPlan:
    """How a camera's video is held.

    Attributes:
        hold_s, max_bytes: see ClipRing.
        cover: see ClipFeed.
    """

    hold_s: float
    max_bytes: int
    cover: Cover | None


@dataclass(frozen=True)
class CameraPlan:
    """How one camera is read.

    Attributes:
        motion_step_s: see FrameReader; None for a model without motion.
        clips: how its video is held for clips; None holds none.
        gated: a frame in which nothing has changed is not scored; the last result holds.
    """

    source: Source
    fps: float | None
    stream: StreamOptions
    motion_step_s: float | None
    clips: ClipPlan | None = None
    gated: bool = False


def source_of(config: Config, camera: str) -> Source:
    """A camera's source, which for a device may be absent now.

    Raises:
        SourceNotFound, SourceEmpty: it is a file or folder that is not there.
    """
    text = config.cameras[camera].source.get_secret_value()
    return camera_source(text, config.settings(camera), awaited=True)


def plan_of(config: Config, camera: str, motion_step_s: float | None) -> CameraPlan:
    """How ``camera`` is read; raises as ``source_of``."""
    settings = config.settings(camera)
    fps = None if settings.fps == "native" else settings.fps
    return CameraPlan(
        source_of(config, camera),
        fps,
        stream_options(settings),
        motion_step_s,
        _clip_plan(config, camera),
        gated=settings.gate == "motion",
    )


def _clip_plan(config: Config, camera: str) -> ClipPlan | None:
    clips, privacy = config.clips, privacy_of(config, camera)
    if not clips.enabled:
        return None
    hold_s = clips.pre_roll + config.settings(camera).min_duration + SLACK_S
    return ClipPlan(hold_s, clips.buffer, privacy.covered if privacy.hides else None)
