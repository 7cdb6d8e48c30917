"""The light, the camera or the lens changes on real footage: one tamper event each, and no flood of anomalies."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from streamwatch.config.loading import load_config
from streamwatch.daemon.assembly import Surroundings
from streamwatch.daemon.service import Service
from streamwatch.detection.publisher import Subscribers
from streamwatch.records import EventChange, Notice, UInt8Array
from tests.conftest import QUICK_PRECISION, encode, run_command, shared_file

pytestmark = pytest.mark.slow(70)

RATE_HZ, LEARNED, CHANGE_S, BACK_S = 10, 595, 5.0, 14.0
RNG = np.random.default_rng(0)
Change = Callable[[UInt8Array, float], UInt8Array]


def gain(factor: float) -> Change:
    """Within 2 s."""

    def apply(picture: UInt8Array, since_s: float) -> UInt8Array:
        now = 1 + (factor - 1) * min(1.0, since_s / 2)
        return np.asarray(np.clip(picture.astype(np.float32) * now, 0, 255), np.uint8)

    return apply


def shifted(share: float) -> Change:
    """Within half a second."""

    def apply(picture: UInt8Array, since_s: float) -> UInt8Array:
        height, width = picture.shape[:2]
        move = np.array([[1, 0, share * min(1.0, 2 * since_s) * width], [0, 1, 0]], np.float32)
        return np.asarray(cv2.warpAffine(picture, move, (width, height), borderMode=cv2.BORDER_REFLECT), np.uint8)

    return apply


def covered(picture: UInt8Array, since_s: float) -> UInt8Array:
    return (np.full_like(picture, 70) + RNG.integers(-1, 2, picture.shape)).astype(np.uint8)


def defocused(picture: UInt8Array, since_s: float) -> UInt8Array:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 0.1 + 6 * min(1.0, since_s)), np.uint8)


def passing_van(picture: UInt8Array, since_s: float) -> UInt8Array:
    """220 x 200 of 480 x 360 pixels: over a quarter of the picture."""
    drawn, left = picture.copy(), int(since_s * 120) - 220
    drawn[100:300, max(0, left) : max(0, left + 220)] = (200, 40, 40)
    return drawn


CHANGES: dict[str, tuple[Change, str]] = {
    "light halved": (gain(0.5), "GlobalSceneChange"),
    "light times 1.6": (gain(1.6), "GlobalSceneChange"),
    "shifted by 5 %": (shifted(0.05), "GlobalSceneChange"),
    "shifted by 30 %": (shifted(0.3), "GlobalSceneChange"),
    "covered": (covered, "ImageTooBlurry"),
    "defocused": (defocused, "ImageTooBlurry"),
}


@dataclass
class Heard:
    """What the daemon said of one recording."""

    changes: list[EventChange] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)

    @property
    def anomalies_meanwhile(self) -> list[float]:
        starts = [c.event.start_time_s for c in self.changes if c.type == "anomaly.started"]
        return [s for s in starts if CHANGE_S - 0.5 <= s < BACK_S]

    @property
    def tampers(self) -> list[tuple[object, object]]:
        told = [dict(n.detail) for n in self.notices if n.type == "camera.tamper"]
        return [(detail["tamper"], detail["active"]) for detail in told]


@pytest.fixture(scope="module")
def pictures() -> list[UInt8Array]:
    with av.open(str(shared_file("courtyard.avi"))) as container:
        return [np.asarray(f.to_ndarray(format="rgb24"), np.uint8) for f in container.decode(video=0)]


@pytest.fixture(scope="module")
def site(pictures: list[UInt8Array], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    encode(folder / "normal.mp4", iter(pictures[:LEARNED]), fps=RATE_HZ)
    document = {
        "version": 1,
        "data_dir": str(folder / "data"),
        "backbone": {"weights": "untrained", "dims": 30},
        "precision": QUICK_PRECISION,
        "cameras": {"yard": {"source": str(folder / "changed.mp4"), "normal": [str(folder / "normal.mp4")]}},
        "metrics": {"listen": None},
        "web": {"listen": None},
    }
    (folder / "changed.mp4").touch()
    (folder / "site.yaml").write_text(json.dumps(document))
    return folder


def watch(site: Path, pictures: list[UInt8Array], change: Change) -> Heard:
    """The footage after what was learned, changed from 5 s to 14 s."""

    def changed() -> Iterator[UInt8Array]:
        for number, picture in enumerate(pictures[LEARNED:]):
            at_s = number / RATE_HZ
            yield change(picture, at_s - CHANGE_S) if CHANGE_S <= at_s < BACK_S else picture

    encode(site / "changed.mp4", changed(), fps=RATE_HZ)
    heard = Heard()
    told = Subscribers((lambda c, _: heard.changes.append(c),), (heard.notices.append,))
    Service(load_config(site / "site.yaml"), until_eof=True, surroundings=Surroundings(told)).run()
    return heard


@pytest.fixture(scope="module")
def learned(site: Path) -> Path:
    run_command("fit", "-c", site / "site.yaml", "yard")
    return site


@pytest.mark.parametrize("name", CHANGES)
def test_one_tamper_event_and_no_anomaly(learned: Path, pictures: list[UInt8Array], name: str) -> None:
    change, kind = CHANGES[name]
    heard = watch(learned, pictures, change)
    assert heard.tampers == [(kind, True), (kind, False)]
    assert heard.anomalies_meanwhile == []
    hints = [dict(n.detail).get("hint") for n in heard.notices]
    assert (hints[0] is not None) == (kind == "GlobalSceneChange")


def test_a_van_before_the_camera_is_an_anomaly_and_no_tampering(learned: Path, pictures: list[UInt8Array]) -> None:
    heard = watch(learned, pictures, passing_van)
    assert heard.tampers == []
    peaks = [c.event.peak.time_s for c in heard.changes if c.type == "anomaly.ended"]
    assert any(CHANGE_S <= peak < BACK_S for peak in peaks)


def test_the_footage_as_it_is_is_no_tampering(learned: Path, pictures: list[UInt8Array]) -> None:
    heard = watch(learned, pictures, lambda picture, _: picture)
    assert heard.tampers == []
