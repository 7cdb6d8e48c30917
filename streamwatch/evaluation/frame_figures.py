"""Figures of frame scores: AUROC micro and macro, average precision, equal error rate; and the two protocols."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float64]
Labels = npt.NDArray[np.bool_]

LITERATURE_SIGMA_S = 0.5
_TRUNCATE_SIGMAS = 4.0


@dataclass(frozen=True, slots=True)
class ClipScores:
    """One clip's frames.

    Attributes:
        scores: (T,) frame scores: each map's maximum, no temporal filter.
        levels: (T,) what the daemon compares with its threshold; see ``scores.FrameScore``.
        labels: (T,) True where the frame is anomalous.
        time_s: (T,) seconds since the clip's first frame.
        threshold: the scene model's start threshold of the level, from normal footage alone.
    """

    name: str
    scores: Scores
    levels: Scores
    labels: Labels
    time_s: Scores
    threshold: float

    def __post_init__(self) -> None:
        if len({len(a) for a in (self.scores, self.levels, self.labels, self.time_s)}) > 1:
            raise ValueError(f"clip {self.name}: scores, labels and times differ in length")

    def scored_by(self, scores: Scores) -> ClipScores:
        """The same clip with other frame scores."""
        return replace(self, scores=scores)


@dataclass(frozen=True, slots=True)
class FrameFigures:
    """0..1, or None where undefined; micro pools all frames, macro is the mean over clips with both kinds."""

    auroc_micro: float | None
    auroc_macro: float | None
    average_precision: float | None
    equal_error_rate: float | None


def intervals(labels: Labels) -> list[tuple[int, int]]:
    """Runs of anomalous frames as (first, last) indices."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], labels, [False]]).astype(int)))
    return [(int(a), int(b) - 1) for a, b in edges.reshape(-1, 2)]


def auroc(scores: Scores, labels: Labels) -> float | None:
    """The Mann-Whitney statistic: the chance that an anomalous frame scores above a normal one, ties half."""
    positives, negatives = int(labels.sum()), int((~labels).sum())
    if not positives or not negatives:
        return None
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(counts) - (counts - 1) / 2
    rank_sum = mean_rank[inverse][labels].sum()
    return float((rank_sum - positives * (positives + 1) / 2) / (positives * negatives))


def roc(scores: Scores, labels: Labels) -> tuple[Scores, Scores]:
    """False and true positive rates from the highest threshold to the lowest, one point per distinct score."""
    order = np.argsort(-scores, kind="stable")
    last_of_tie = np.append(np.diff(scores[order]) != 0, True)
    tp = np.cumsum(labels[order])[last_of_tie] / max(labels.sum(), 1)
    fp = np.cumsum(~labels[order])[last_of_tie] / max((~labels).sum(), 1)
    return np.append(0.0, fp), np.append(0.0, tp)


def average_precision(scores: Scores, labels: Labels) -> float | None:
    """AP = sum over thresholds of (R_n - R_{n-1}) P_n, without interpolation. None without anomalous frames."""
    if not labels.any():
        return None
    order = np.argsort(-scores, kind="stable")
    last_of_tie = np.append(np.diff(scores[order]) != 0, True)
    true_positives = np.cumsum(labels[order])[last_of_tie]
    predicted = np.flatnonzero(last_of_tie) + 1
    recall = np.append(0.0, true_positives / labels.sum())
    return float((np.diff(recall) * true_positives / predicted).sum())


def equal_error_rate(scores: Scores, labels: Labels) -> float | None:
    """Where the false positive rate equals the miss rate, interpolated on the ROC. None if either kind is missing."""
    if not labels.any() or labels.all():
        return None
    fpr, tpr = roc(scores, labels)
    gap = fpr - (1 - tpr)
    after = int(np.argmax(gap >= 0))
    share = -gap[after - 1] / (gap[after] - gap[after - 1])
    return float(fpr[after - 1] + share * (fpr[after] - fpr[after - 1]))


def frame_figures(clips: Sequence[ClipScores]) -> FrameFigures:
    """All frame figures of some clips."""
    if not clips:
        return FrameFigures(None, None, None, None)
    scores = np.concatenate([clip.scores for clip in clips])
    labels = np.concatenate([clip.labels for clip in clips])
    per_clip = [value for clip in clips if (value := auroc(clip.scores, clip.labels)) is not None]
    return FrameFigures(
        auroc(scores, labels),
        float(np.mean(per_clip)) if per_clip else None,
        average_precision(scores, labels),
        equal_error_rate(scores, labels),
    )


def causal(clip: ClipScores) -> ClipScores:
    """What the daemon knew at that moment: the level that it decides by, in units of its threshold.

    Of one field that is the maximum of its causally filtered map.
    The threshold comes from the scene's normal footage, so dividing by it uses nothing of the test clip, and makes
    the scenes' scores comparable.
    """
    return clip.scored_by(clip.levels / clip.threshold)


def literature(clip: ClipScores, sigma_s: float = LITERATURE_SIGMA_S) -> ClipScores:
    """As published papers do: two-sided Gaussian smoothing, then the clip's own minimum and maximum to 0 and 1.

    Both look at the future of the clip; no daemon can. Edges are repeated.
    """
    if len(clip.scores) < 2:
        return clip.scored_by(np.zeros_like(clip.scores))
    step_s = float(np.median(np.diff(clip.time_s)))
    smoothed = gaussian_smooth(clip.scores, sigma_s / step_s)
    low, high = smoothed.min(), smoothed.max()
    return clip.scored_by((smoothed - low) / max(high - low, 1e-12))


def gaussian_smooth(values: Scores, sigma: float) -> Scores:
    """One-dimensional Gaussian blur, sigma in samples, cut at 4 sigma, edge values repeated."""
    radius = max(1, int(_TRUNCATE_SIGMAS * sigma + 0.5))
    offsets = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
    return np.asarray(np.convolve(np.pad(values, radius, mode="edge"), kernel / kernel.sum(), mode="valid"))
