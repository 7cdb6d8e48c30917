"""Region- and track-based detection criteria, RBDC and TBDC (Ramachandra & Jones 2020, "Street Scene", section 5).

Written from the definition:

- a ground-truth region is detected at a threshold if some detected region overlaps it with IoU of at least 0.1;
- a ground-truth track is detected if at least a tenth of its regions are;
- a detected region that overlaps no ground-truth region with IoU of at least 0.1 is a false positive;
- the figure is the area under the detection rate over false positives per frame in [0, 1].

Regions are the bounding boxes of connected cells of the map over the threshold. Thresholds are a fixed geometric
ladder, so that frames can be counted one by one and forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from streamwatch.evaluation.curves import area_up_to

MIN_IOU = 0.1
MIN_TRACK_SHARE = 0.1
FALSE_POSITIVES_PER_FRAME_LIMIT = 1.0
_LADDER_RATIO = 1.04
_LADDER_STEPS = 120

Boxes = npt.NDArray[np.float64]
"""(n, 4): left, top, right, bottom in fractions of the picture."""


@dataclass(frozen=True, slots=True)
class TruthRegion:
    """A ground-truth box of one frame; regions of the same track share its id."""

    track: str
    box: tuple[float, float, float, float]


def threshold_ladder(lowest: float) -> npt.NDArray[np.float64]:
    """120 thresholds from ``lowest`` up, each 4 % above the one before: a span of 100."""
    return np.asarray(lowest * _LADDER_RATIO ** np.arange(_LADDER_STEPS))


def iou(a: Boxes, b: Boxes) -> npt.NDArray[np.float64]:
    """Intersection over union of every pair: (n, 4) and (m, 4) to (n, m)."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=2)
    area_a, area_b = (np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (a, b))
    return np.asarray(shared / np.maximum(area_a[:, None] + area_b[None, :] - shared, 1e-12))


def boxes_of(over: npt.NDArray[np.bool_]) -> Boxes:
    """Bounding boxes of the 8-connected components of a (rows, columns) mask."""
    rows, columns = over.shape
    _, _, stats, _ = cv2.connectedComponentsWithStats(over.astype(np.uint8), connectivity=8)
    left, top, width, height = (np.asarray(stats)[1:, i].astype(np.float64) for i in range(4))
    corners = (left / columns, top / rows, (left + width) / columns, (top + height) / rows)
    return np.stack(corners, axis=1)


@dataclass
class RegionCounts:
    """Counts per threshold, frame after frame.

    Attributes:
        thresholds: (K,) ascending.
        false_positives: (K,) detected regions that match nothing.
        frames: frames counted.
        detected: for each track, a (regions, K) table of what was detected.
    """

    thresholds: npt.NDArray[np.float64]
    false_positives: npt.NDArray[np.int64] = field(init=False)
    frames: int = 0
    detected: dict[str, list[npt.NDArray[np.bool_]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.false_positives = np.zeros(len(self.thresholds), dtype=np.int64)

    def add(self, grid: npt.NDArray[np.float32], truth: list[TruthRegion]) -> None:
        """Count one frame's map (rows, columns) against its ground-truth regions."""
        truth_boxes = np.array([region.box for region in truth], dtype=np.float64).reshape(-1, 4)
        found = np.zeros((len(truth), len(self.thresholds)), dtype=bool)
        self.frames += 1
        for k, threshold in enumerate(self.thresholds):
            over = grid >= threshold
            if not over.any():
                break
            matches = iou(boxes_of(over), truth_boxes) >= MIN_IOU
            found[:, k] = matches.any(axis=0)
            self.false_positives[k] += int((~matches.any(axis=1)).sum())
        for region, row in zip(truth, found, strict=True):
            self.detected.setdefault(region.track, []).append(row)

    def merge(self, other: RegionCounts, prefix: str = "") -> None:
        """Add another's counts; ``prefix`` keeps track ids of different clips apart."""
        self.false_positives += other.false_positives
        self.frames += other.frames
        for track, rows in other.detected.items():
            self.detected.setdefault(prefix + track, []).extend(rows)

    def rbdc(self) -> float | None:
        """Area under the region detection rate over false positives per frame; None without truth."""
        if not self.detected:
            return None
        rows = np.concatenate([np.stack(rows) for rows in self.detected.values()])
        return self._area(rows.mean(axis=0))

    def tbdc(self) -> float | None:
        """Area under the track detection rate over false positives per frame; None without truth."""
        if not self.detected:
            return None
        tracks = np.stack([np.stack(rows).mean(axis=0) >= MIN_TRACK_SHARE for rows in self.detected.values()])
        return self._area(tracks.mean(axis=0))

    def _area(self, rate: npt.NDArray[np.float64]) -> float:
        """Area over false positives per frame in 0..1, thresholds descending, the rate held where no more come."""
        per_frame = self.false_positives[::-1] / max(self.frames, 1)
        best_so_far = np.maximum.accumulate(rate[::-1])
        x, first = np.unique(np.maximum.accumulate(np.append(0.0, per_frame)), return_index=True)
        y = np.append(0.0, best_so_far)
        last = np.append(first[1:], len(y)) - 1
        return area_up_to(x, y[last], FALSE_POSITIVES_PER_FRAME_LIMIT) / FALSE_POSITIVES_PER_FRAME_LIMIT


def link_tracks(masks: Iterable[npt.NDArray[np.bool_]]) -> list[list[TruthRegion]]:
    """Ground truth from masks where no annotation is: components of T (H, W) masks, linked over time.

    A component continues the track of the previous frame's component whose box it overlaps most; else it begins
    one. Figures from this are ``mask_derived``: they are not comparable with published ones.
    """
    frames: list[list[TruthRegion]] = []
    previous: list[TruthRegion] = []
    tracks = 0
    for mask in masks:
        current: list[TruthRegion] = []
        for box in boxes_of(mask):
            track = _continued(box, previous)
            if track is None:
                tracks, track = tracks + 1, str(tracks)
            left, top, right, bottom = (float(v) for v in box)
            current.append(TruthRegion(track, (left, top, right, bottom)))
        frames.append(current)
        previous = current
    return frames


def _continued(box: npt.NDArray[np.float64], previous: list[TruthRegion]) -> str | None:
    if not previous:
        return None
    overlaps = iou(box[None], np.array([region.box for region in previous]))[0]
    best = int(overlaps.argmax())
    return previous[best].track if overlaps[best] > 0 else None
