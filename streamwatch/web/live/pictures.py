"""The newest picture of each camera that somebody looks at, made once for all who do.

The scoring thread only leaves the frame here, and only if somebody asked lately: nobody's frames are held for nothing.
"""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache

import cv2
import numpy as np

from streamwatch.clock import Clock
from streamwatch.errors import UnusablePicture
from streamwatch.evidence.privacy import Privacy
from streamwatch.records import SPEED_GRID, Float32Array, UInt8Array
from streamwatch.scores import FrameScore
from streamwatch.video.overlay import encode_jpeg, heat_colours
from streamwatch.web.live.shared import Shared

WANTED_FOR_S = 10.0
"""After somebody asked for a camera's picture."""
WIDTHS_PX = (320, 640, 1280)
"""Pictures are made this wide at most, so that each is made for many."""
JPEG_QUALITY = 75
"""Half the bytes of 95, which evidence has; a guard sees no difference."""
COLD, HOT = 0.5, 2.0
"""Levels, as shares of the threshold, up to which heat is clear and from which it is at full strength."""
PICTURE_EVERY_S = 0.2
GLANCE_EVERY_S = 0.95
"""A newer one is made no sooner, of one camera that is looked at and of many: 20 viewers of 16 cameras cost as much as one."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture as it is given out.

    Attributes:
        tag: names its content.
        wall_s: Unix time of the frame.
        base64: of the content, for those who are sent it as text; made once for all of them.
    """

    content: bytes
    media_type: str
    tag: str
    wall_s: float
    base64: str


Pictures = dict[str, dict[str, Shown]]
"""By camera and kind, ``picture`` or ``heat``."""


@dataclass(frozen=True)
class Glance:
    """The pictures of many cameras.

    Attributes:
        make: makes them; takes as long as it takes.
    """

    shared: Shared[Pictures]
    make: Callable[[], Pictures]


@dataclass(frozen=True)
class _Kind:
    """A kind of picture.

    Attributes:
        what: names it.
    """

    what: tuple[Hashable, ...]
    media_type: str
    make: Callable[[FrameScore], bytes | None]


@dataclass
class _Camera:
    """What is held of one camera.

    Attributes:
        wanted_until_s: monotonic.
        made: by what was asked for, the frame's index and when it was made.
    """

    wanted_until_s: float = float("-inf")
    newest: FrameScore | None = None
    made: dict[Hashable, tuple[int, float, Shown]] = field(default_factory=dict)
    making: threading.Lock = field(default_factory=threading.Lock)


class LivePictures:
    """Filled by the scoring thread, asked from any.

    Args:
        privacy_of: what of a camera's pictures may not be seen; None for one that is not watched any more.
        threshold_of: told a camera, at which level its heat begins to be hot.
    """

    def __init__(self, clock: Clock, privacy_of: Callable[[str], Privacy | None], threshold_of: Callable[[str], float]) -> None:
        self._clock, self._privacy_of, self._threshold_of = clock, privacy_of, threshold_of
        self._cameras: dict[str, _Camera] = {}
        self._glances: dict[tuple[int, bool], Shared[Pictures]] = {}

    def record(self, scored: FrameScore, _counts: bool) -> None:
        """A frame was scored."""
        known = self._cameras.get(scored.frame.camera)
        if known is None:
            return
        wanted = self._clock.monotonic_s() <= known.wanted_until_s
        known.newest = scored if wanted else None
        if not wanted:
            known.made = {}

    def glance(self, width_px: int, *, heat: bool) -> Glance:
        """The newest pictures of all cameras that somebody looks at, made once a second for all who do."""
        key = width_px, heat
        shared = self._glances.setdefault(key, Shared(self._clock, GLANCE_EVERY_S))
        return Glance(shared, lambda: {camera: self._glanced(camera, width_px, heat=heat) for camera in self._wanted()})

    def _wanted(self) -> list[str]:
        now_s = self._clock.monotonic_s()
        return [camera for camera, known in list(self._cameras.items()) if now_s <= known.wanted_until_s]

    def _glanced(self, camera: str, width_px: int, *, heat: bool) -> dict[str, Shown]:
        found: dict[str, Shown | None] = {}
        with suppress(UnusablePicture, OSError):
            found["picture"] = self.picture(camera, width_px, GLANCE_EVERY_S)
            found["heat"] = self.heat(camera, GLANCE_EVERY_S) if heat else None
        return {kind: shown for kind, shown in found.items() if shown}

    def want(self, camera: str) -> bool:
        """Somebody looks at a camera; whether there is something to see already."""
        known = self._cameras.setdefault(camera, _Camera())
        known.wanted_until_s = self._clock.monotonic_s() + WANTED_FOR_S
        return known.newest is not None

    def picture(self, camera: str, width_px: int, every_s: float = PICTURE_EVERY_S) -> Shown | None:
        """The newest picture as JPEG, as wide as the next of WIDTHS_PX; None before there is one.

        Args:
            every_s: one that is younger is new enough.

        Raises:
            UnusablePicture, OSError: it cannot be made.
        """
        width = next((known for known in WIDTHS_PX if known >= width_px), WIDTHS_PX[-1])
        privacy = self._privacy_of(camera)
        if privacy is None:
            return None
        made = _Kind(("picture", width, repr(privacy)), "image/jpeg", lambda scored: _picture(scored, width, privacy))
        return self._shown(camera, made, every_s)

    def heat(self, camera: str, every_s: float = PICTURE_EVERY_S) -> Shown | None:
        """Of the same frame the map of levels as PNG, to be laid over it; transparent where nothing is unusual."""
        threshold = self._threshold_of(camera)
        return self._shown(camera, _Kind(("heat", threshold), "image/png", lambda scored: _heat(scored, threshold)), every_s)

    def _shown(self, camera: str, kind: _Kind, every_s: float) -> Shown | None:
        known = self._cameras.get(camera)
        if known is None:
            return None
        with known.making:
            scored, now_s = known.newest, self._clock.monotonic_s()
            last = known.made.get(kind.what)
            if scored is None:
                return last[2] if last else None
            frame = scored.frame
            if last and (last[0] == frame.index or now_s - last[1] < every_s):
                return last[2]
            content = kind.make(scored)
            if content is None:
                return None
            tag = hashlib.blake2b(content, digest_size=12).hexdigest()
            shown = Shown(content, kind.media_type, tag, frame.wall_s, base64.b64encode(content).decode())
            known.made[kind.what] = (frame.index, now_s, shown)
            return shown

    def forget(self, camera: str) -> None:
        """The camera is watched no more, or in another way: nothing of it is held."""
        self._cameras.pop(camera, None)


def _picture(scored: FrameScore, width: int, privacy: Privacy) -> bytes | None:
    picture = scored.frame.picture
    if picture is None:
        return None
    return encode_jpeg(privacy.covered(picture.rgb(min(width, picture.width))), JPEG_QUALITY)


def _heat(scored: FrameScore, threshold: float) -> bytes:
    """Where nothing is over half of the threshold, always the same: no map is fetched, and nobody is sent it again."""
    if scored.level <= COLD * threshold:
        return clear_png()
    return heat_png(scored.level_grid, threshold)


@cache
def clear_png() -> bytes:
    """Heat of nothing."""
    return heat_png(np.zeros((SPEED_GRID, SPEED_GRID), dtype=np.float32), 1.0)


def heat_png(grid: Float32Array, threshold: float) -> bytes:
    """(h, w) levels as a PNG with transparency: from half of the threshold, at full strength at twice.

    Raises:
        OSError: it cannot be encoded.
    """
    strength = np.clip((grid / threshold - COLD) / (HOT - COLD), 0.0, 1.0).astype(np.float32)
    rgba: UInt8Array = np.dstack([heat_colours(strength), (255 * np.sqrt(strength)).astype(np.uint8)])
    encoded, data = cv2.imencode(".png", cv2.cvtColor(rgba, cv2.COLOR_RGBA2BGRA))
    if not encoded:
        raise OSError("a heat map cannot be encoded")
    return bytes(data.tobytes())
