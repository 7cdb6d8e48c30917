"""Alarms on footage that nobody tuned for: real footage with labels, and things and nuisances planted into it.

Each camera is set up as a new user would: its configuration is the default one, but for the source. The first part is learned,
the rest watched: as it is, with a thing in it, with a nuisance. ``found`` is an event that overlaps the thing's time, ``false``
one that does not; what the clip raises as it is, is false there, and neither in its copies. An event of a labelled clip that
begins more than 3 s before the truth does is false, whatever it runs into.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.scenes_made_hard import (
    NUISANCES,
    PLANTED_FROM,
    PLANTED_TO,
    Clip,
    at_night,
    behind_leaves,
    disturbed,
    planted,
    read_clip,
    thing_of,
    write_clip,
)
from streamwatch.evaluation.frame_figures import intervals
from tools.footage import SHARED_DATA

LEARNED_SHARE = 0.6
RATE_HZ = 10.0
EARLY_S, LATE_S = 3.0, 1.0
SAME_EVENT_S = 1.0
"""Two events of copies of one clip that begin as close together are the same."""
FOOTAGE = SHARED_DATA / "footage"
REENCODED_CRF = 35
Span = tuple[float, float]


@dataclass(frozen=True)
class Watched:
    """What one clip came to.

    Attributes:
        site, what: which camera, and what is in the clip.
        truth: when something is there.
        events: (start, end) of what was raised.
        early_s: how much before the truth an event may begin.
        known: events that the clip raises as it is: in a copy with something in it they are neither found nor false.
    """

    site: str
    what: str
    duration_s: float
    truth: tuple[Span, ...]
    events: tuple[Span, ...]
    early_s: float = float("inf")
    known: tuple[Span, ...] = ()

    @property
    def added(self) -> tuple[Span, ...]:
        """Events that the clip as it is does not raise."""
        return tuple(event for event in self.events if not any(abs(event[0] - of[0]) < SAME_EVENT_S for of in self.known))

    @property
    def found(self) -> int:
        """Spans of the truth that an event overlaps."""
        return sum(any(self._fits(event, span) for event in self.added) for span in self.truth)

    @property
    def false(self) -> int:
        """Events that overlap none."""
        return sum(not any(self._fits(event, span) for span in self.truth) for event in self.added)

    @property
    def delay_s(self) -> float | None:
        """From the first span's start to the first event that found it."""
        starts = [event[0] - span[0] for span in self.truth for event in self.added if self._fits(event, span)]
        return max(min(starts), 0.0) if starts else None

    def _fits(self, event: Span, span: Span) -> bool:
        return span[0] - self.early_s <= event[0] <= span[1] + LATE_S and event[1] >= span[0] - 0.5


@dataclass
class Camera:
    """A camera in a folder of its own."""

    name: str
    folder: Path
    budget: str
    said: str = field(default="", init=False)

    def fit(self, sources: Sequence[Path]) -> None:
        """Learn it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        document = {
            "version": 1,
            "data_dir": str(self.folder / "data"),
            "backbone": {"weights": "untrained"},
            "cameras": {"cam": {"source": str(sources[0]), "fps": RATE_HZ, "alarm_budget": self.budget}},
        }
        (self.folder / "site.yaml").write_text(json.dumps(document))
        self.said = self._run("fit", "cam", *map(str, sources))

    def watch(self, what: str, clip: Path, duration_s: float, truth: Sequence[Span], early_s: float = float("inf")) -> Watched:
        """Play a recording through it."""
        document: dict[str, Any] = json.loads(self._run("backtest", "cam", str(clip), "--json"))
        ends = [(e["start_s"], duration_s if e["end_s"] is None else e["end_s"]) for e in document["events"]]
        return Watched(self.name, what, duration_s, tuple(truth), tuple(ends), early_s)

    def _run(self, command: str, *arguments: str) -> str:
        line = [sys.executable, "-m", "streamwatch", command, "-c", str(self.folder / "site.yaml"), *arguments]
        return subprocess.run(line, check=True, capture_output=True, text=True).stdout


def labelled_footage(folder: Path, budget: str) -> Iterator[Watched]:
    """Every camera of the footage, on its quiet clip and on its labelled one."""
    for camera, clips in learned_cameras(folder, budget):
        for kind, clip in clips.items():
            frames, rate_hz = read_clip(clip, at_most=10_000)
            yield camera.watch(kind, clip, len(frames) / rate_hz, _truth_of(clip, len(frames), rate_hz), EARLY_S)


def learned_cameras(folder: Path, budget: str) -> Iterator[tuple[Camera, dict[str, Path]]]:
    """Every camera of the footage, learned, and what there is to watch: its quiet clip, its labelled one."""
    for name in sorted({path.name.split("_")[0] for path in FOOTAGE.glob("*_learn*.mp4")}):
        camera = Camera(name, folder / name, budget)
        camera.fit(sorted(FOOTAGE.glob(f"{name}_learn*.mp4")))
        clips = {kind: FOOTAGE / f"{name}_{kind}.mp4" for kind in ("quiet", "event")}
        yield camera, {kind: clip for kind, clip in clips.items() if clip.is_file()}


def _truth_of(clip: Path, frames: int, rate_hz: float) -> list[Span]:
    labels = clip.with_suffix(".npy")
    if not labels.is_file():
        return []
    values = np.load(labels).astype(bool)
    scale = frames / rate_hz / len(values)
    return [(first * scale, last * scale) for first, last in intervals(values)]


def planted_into(folder: Path, clips: Sequence[Path], budget: str) -> Iterator[Watched]:
    """Each clip's last part as it is, with things in it that are plain and hard, and with nuisances."""
    read = {clip.stem: read_clip(clip) for clip in clips}
    names = list(read)
    for number, name in enumerate(names):
        pictures, rate_hz = read[name]
        other = read[names[(number + 1) % len(names)]][0]
        at = int(LEARNED_SHARE * len(pictures))
        day = _site(folder / name, name, pictures[:at], rate_hz, budget)
        yield from _watch_all(day, dict(_by_day(pictures[at:], other, number)), rate_hz)
        dark = at_night(pictures, number)
        night = _site(folder / f"{name}-night", f"{name}, night", dark[:at], rate_hz, budget)
        yield from _watch_all(night, dict(_by_night(pictures[at:], dark[at:], other, number)), rate_hz)
        leafy = behind_leaves(pictures, number)
        tree = _site(folder / f"{name}-leaves", f"{name}, behind leaves", leafy[:at], rate_hz, budget)
        yield from _watch_all(tree, dict(_behind_leaves(pictures, at, other, number)), rate_hz)


def _site(folder: Path, name: str, learned: Clip, rate_hz: float, budget: str) -> Camera:
    folder.mkdir(parents=True, exist_ok=True)
    camera = Camera(name, folder, budget)
    camera.fit([write_clip(folder / "learned.mp4", learned, rate_hz)])
    return camera


def _watch_all(camera: Camera, clips: dict[str, Clip], rate_hz: float) -> Iterator[Watched]:
    """The first of the clips is the one as it is."""
    known: tuple[Span, ...] = ()
    for what, clip in clips.items():
        crf = REENCODED_CRF if what == "no: encoded anew" else 17
        path = write_clip(camera.folder / "watched.mp4", clip, rate_hz, crf=crf)
        duration_s = len(clip) / rate_hz
        truth = [] if what.startswith("no: ") else [(PLANTED_FROM * duration_s, PLANTED_TO * duration_s)]
        watched = replace(camera.watch(what, path, duration_s, truth), known=known)
        yield watched
        if what == next(iter(clips)):
            known = watched.events


def _by_day(clip: Clip, other: Clip, seed: int) -> Iterator[tuple[str, Clip]]:
    yield "no: as it is", clip
    for number, (what, share, crosses, contrast) in enumerate(
        (
            ("stands", 0.22, False, 1.0),
            ("crosses", 0.22, True, 1.0),
            ("stands, half the size", 0.12, False, 1.0),
            ("stands, small", 0.07, False, 1.0),
            ("crosses, small", 0.07, True, 1.0),
            ("stands, low contrast", 0.22, False, 0.4),
        )
    ):
        thing = thing_of(other, int(share * clip[0].shape[0]) // 2 * 2, 10 * seed + number)
        yield what, planted(clip, thing, 100 * seed + number, crosses=crosses, contrast=contrast)
    for nuisance in NUISANCES:
        yield f"no: {nuisance}", disturbed(clip, nuisance, seed)
    yield "no: encoded anew", clip


def _by_night(clip: Clip, dark: Clip, other: Clip, seed: int) -> Iterator[tuple[str, Clip]]:
    yield "no: as it is", dark
    thing = thing_of(other, int(0.22 * clip[0].shape[0]) // 2 * 2, 10 * seed)
    for what, crosses in (("stands", False), ("crosses", True)):
        yield what, at_night(planted(clip, thing, 100 * seed, crosses=crosses), seed + 1)
    yield "no: insects", disturbed(dark, "insects", seed)


def _behind_leaves(clip: Clip, at: int, other: Clip, seed: int) -> Iterator[tuple[str, Clip]]:
    yield "no: leaves in the wind", behind_leaves(clip[at:], seed, at)
    thing = thing_of(other, int(0.22 * clip[0].shape[0]) // 2 * 2, 10 * seed)
    for what, crosses in (("stands behind leaves", False), ("crosses behind leaves", True)):
        yield what, behind_leaves(planted(clip[at:], thing, 100 * seed, crosses=crosses), seed, at)
