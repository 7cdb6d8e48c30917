"""What of a camera's pictures may not be seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from streamwatch.config.schema import Config
from streamwatch.records import Box, UInt8Array
from streamwatch.video.overlay import black_out, pixelate

Polygons = Sequence[Sequence[tuple[float, float]]]


@dataclass(frozen=True)
class Privacy:
    """What of a camera's pictures may not be seen.

    Attributes:
        polygons: blacked out.
        pixelate: what is not of an event's region is shown in coarse squares.
    """

    polygons: Polygons = ()
    pixelate: bool = False

    @property
    def hides(self) -> bool:
        """Whether anything is hidden."""
        return bool(self.polygons) or self.pixelate

    def covered(self, picture: UInt8Array, boxes: Sequence[Box] = ()) -> UInt8Array:
        """The picture (H, W, 3) as it may be seen, ``boxes`` being the event's region."""
        return black_out(pixelate(picture, boxes) if self.pixelate else picture, self.polygons)


NO_PRIVACY = Privacy()


def privacy_of(config: Config, camera: str) -> Privacy:
    """What a configuration hides of a camera."""
    return Privacy(config.cameras[camera].privacy, config.settings(camera).pixelate)
