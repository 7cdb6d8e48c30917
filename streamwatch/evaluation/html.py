"""report.html: one self-contained page with every figure, curve, timeline and the frames worth looking at."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, select_autoescape

from streamwatch.evaluation.curves import PRO_FPR_LIMIT
from streamwatch.evaluation.frame_figures import auroc, roc
from streamwatch.evaluation.runner import pooled_pixels
from streamwatch.evaluation.scene_run import SceneResult
from streamwatch.evaluation.svg import curve_plot, timeline

PUBLISHED = (
    ("PaDiM R18-Rd100", "91.2", "Defard et al. 2020"),
    ("SPADE", "89.9", "in Defard et al. 2020"),
    ("CAVGA-RU", "85.0", "in Defard et al. 2020"),
    ("PatchCore-10", "91.8", "Roth et al. 2022"),
    ("semi-orthogonal embedding", "92.1", "Kim et al. 2021"),
)
"""Pixel AUROC on ShanghaiTech Campus, percent."""

_TITLES = {"found": "best found", "missed": "worst missed", "false": "worst on a normal frame"}
_GALLERY_MAX = 24


def render_report(report: dict[str, Any], results: list[SceneResult]) -> str:
    """The whole page."""
    environment = Environment(loader=PackageLoader("streamwatch.evaluation"), autoescape=select_autoescape(["j2"]))
    return environment.get_template("report.html.j2").render(
        report=report,
        published=PUBLISHED,
        plots=_plots(results),
        gallery=_gallery(results),
        timelines=[_timeline(result, i) for result in results for i in range(len(result.clips))],
        facts=_facts(report),
    )


def _plots(results: list[SceneResult]) -> list[str]:
    pixels = pooled_pixels(results)
    curves = [("pixels, pooled", *pixels.roc())]
    curves += [(f"scene {r.name}", *r.pixels.roc()) for r in results if r.clips and len(results) > 1][:5]
    plots = [curve_plot(curves, x_label="false positive rate", y_label="true positive rate (pixels)")]
    pro = [("pooled", *pixels.pro_curve())]
    plots.append(curve_plot(pro, x_label="false positive rate", y_label="mean region coverage", x_limit=PRO_FPR_LIMIT))
    frames = [(f"scene {r.name}", *_frame_roc(r)) for r in results if r.clips][:6]
    plots.append(curve_plot(frames, x_label="false positive rate", y_label="true positive rate (frames, raw)"))
    return plots


def _frame_roc(result: SceneResult) -> tuple[Any, Any]:
    return roc(np.concatenate([c.scores for c in result.clips]), np.concatenate([c.labels for c in result.clips]))


def _gallery(results: list[SceneResult]) -> list[dict[str, Any]]:
    """Frames of every kind and scene in turn, at most 24."""
    pictures = [p for kind in _TITLES for result in results for p in result.gallery if p.kind == kind]
    step = max(1, -(-len(pictures) // _GALLERY_MAX))
    return [
        {
            "kind": p.kind,
            "title": _TITLES[p.kind],
            "clip": p.clip,
            "frame": p.frame,
            "ratio": p.ratio,
            "data": base64.b64encode(p.jpeg).decode(),
        }
        for p in pictures[::step]
    ]


def _timeline(result: SceneResult, index: int) -> dict[str, str]:
    clip = result.clips[index]
    own = auroc(clip.scores, clip.labels)
    facts = f"{len(clip.scores)} frames, {int(clip.labels.sum())} anomalous"
    facts += f", frame AUROC {100 * own:.1f}" if own is not None else ", only one kind of frame"
    return {"name": clip.name, "facts": facts, "svg": timeline(clip.time_s, clip.levels, clip.labels, clip.threshold)}


def _facts(report: dict[str, Any]) -> list[tuple[str, str]]:
    groups = ("protocol", "software", "machine")
    rows = [(f"{key.replace('_', ' ')}", str(value)) for group in groups for key, value in report[group].items()]
    return [*rows, ("wall time", f"{report['wall_time_s']} s")]
