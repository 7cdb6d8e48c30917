"""Small plots as SVG text: curves, and score timelines with ground truth shaded."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
import numpy.typing as npt

from streamwatch.evaluation.frame_figures import intervals

Points = npt.NDArray[np.float64]
_MAX_POINTS = 400
_COLOURS = ("#2563eb", "#d97706", "#059669", "#dc2626", "#7c3aed", "#0891b2")


def curve_plot(curves: Sequence[tuple[str, Points, Points]], *, x_label: str, y_label: str, x_limit: float = 1.0) -> str:
    """Curves over 0..``x_limit`` by 0..1, each with its name in the legend."""
    width, height, left, bottom = 420, 320, 48, 40
    inner_w, inner_h = width - left - 12, height - bottom - 12
    parts = [_axes((left, 12, inner_w, inner_h), x_limit, x_label, y_label)]
    for number, (name, x, y) in enumerate(curves):
        colour = _COLOURS[number % len(_COLOURS)]
        inside = x <= x_limit
        xs, ys = _thinned(np.append(x[inside], x_limit), np.append(y[inside], np.interp(x_limit, x, y)))
        points = " ".join(
            f"{left + inner_w * a / x_limit:.1f},{12 + inner_h * (1 - b):.1f}" for a, b in zip(xs, ys, strict=True)
        )
        parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="1.8" points="{points}"/>')
        at = height - bottom - 14 - 16 * number
        parts.append(f'<text x="{width - 20}" y="{at}" text-anchor="end" style="fill:{colour}">{escape(name)}</text>')
    return f'<svg viewBox="0 0 {width} {height}" role="img">{"".join(parts)}</svg>'


def timeline(time_s: Points, scores: Points, labels: npt.NDArray[np.bool_], threshold: float) -> str:
    """Scores over time, anomalous stretches shaded, the threshold dashed."""
    width, height = 640, 110
    top = max(float(scores.max()), threshold) * 1.08
    end_s = max(float(time_s[-1]), 1e-6)
    x, y = width * time_s / end_s, height * (1 - scores / top)
    shaded = "".join(
        f'<rect x="{x[a]:.1f}" y="0" width="{max(x[b] - x[a], 1):.1f}" height="{height}" class="truth"/>'
        for a, b in intervals(labels)
    )
    xs, ys = _envelope(x, y)
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(xs, ys, strict=True))
    at = height * (1 - threshold / top)
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" preserveAspectRatio="none">{shaded}'
        f'<line x1="0" x2="{width}" y1="{at:.1f}" y2="{at:.1f}" class="threshold"/>'
        f'<polyline fill="none" stroke="{_COLOURS[0]}" stroke-width="1.2" points="{points}"/></svg>'
    )


def _axes(area: tuple[int, int, int, int], x_limit: float, x_label: str, y_label: str) -> str:
    left, top, width, height = area
    parts = [f'<rect x="{left}" y="{top}" width="{width}" height="{height}" class="frame"/>']
    for tick in np.linspace(0, 1, 6):
        x, y = left + width * tick, top + height * (1 - tick)
        parts.append(f'<text x="{x:.0f}" y="{top + height + 14}" text-anchor="middle">{tick * x_limit:.2g}</text>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:.0f}" text-anchor="end">{tick:.1f}</text>')
        parts.append(f'<line x1="{left}" x2="{left + width}" y1="{y:.0f}" y2="{y:.0f}" class="grid"/>')
    middle = top + height // 2
    parts.append(f'<text x="{left + width // 2}" y="{top + height + 30}" text-anchor="middle">{escape(x_label)}</text>')
    parts.append(f'<text transform="translate(12 {middle}) rotate(-90)" text-anchor="middle">{escape(y_label)}</text>')
    return "".join(parts)


def _thinned(x: Points, y: Points) -> tuple[Points, Points]:
    """At most 400 points, evenly along the curve's length."""
    if len(x) <= _MAX_POINTS:
        return x, y
    length = np.concatenate([[0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])
    kept = np.unique(np.searchsorted(length, np.linspace(0, length[-1], _MAX_POINTS)).clip(0, len(x) - 1))
    return x[kept], y[kept]


def _envelope(x: Points, y: Points) -> tuple[Points, Points]:
    """A long series as the highest and lowest of each of 200 stretches, so that no peak is lost."""
    if len(x) <= _MAX_POINTS:
        return x, y
    pieces = np.array_split(np.arange(len(x)), _MAX_POINTS // 2)
    kept = [sorted((int(p[y[p].argmin()]), int(p[y[p].argmax()]))) for p in pieces]
    flat = np.array(kept).ravel()
    return x[flat], y[flat]
