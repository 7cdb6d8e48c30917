"""The page that shows what stands out of normal footage, each stretch at its peak with its heat map."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, select_autoescape

from streamwatch.records import UInt8Array
from streamwatch.video.overlay import encode_jpeg


@dataclass(frozen=True)
class Card:
    """One stretch.

    Attributes:
        range: as ``fit --exclude`` takes it.
        picture: (H, W, 3) RGB at its peak; None if the footage's inputs were not kept.
    """

    range: str
    times_usual: float
    picture: UInt8Array | None


def render_outliers(camera: str, cards: Sequence[Card]) -> str:
    """The whole page, self-contained.

    Raises:
        OSError: a picture cannot be encoded.
    """
    environment = Environment(loader=PackageLoader("streamwatch.web"), autoescape=select_autoescape(["j2"]))
    shown = [
        {"range": c.range, "times_usual": c.times_usual, "image": c.picture is not None and _inline(c.picture)} for c in cards
    ]
    return environment.get_template("outliers.html.j2").render(camera=camera, cards=shown)


def _inline(picture: UInt8Array) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(encode_jpeg(picture)).decode()}"
