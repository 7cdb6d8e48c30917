"""report.json and report.html of an evaluation on pictures."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from jinja2 import Environment, PackageLoader, select_autoescape

from streamwatch.evaluation.curves import PRO_FPR_LIMIT
from streamwatch.evaluation.datasets.mvtec import PictureDataset
from streamwatch.evaluation.pictures.class_run import ClassResult
from streamwatch.evaluation.pictures.views import CROP_PX, MAX_ROTATION_DEG
from streamwatch.evaluation.report import RunFacts, machine_facts, software_facts
from streamwatch.evaluation.svg import curve_plot
from streamwatch.model.embedding.backbone import architecture
from streamwatch.model.embedding.identity import BackboneSpec
from streamwatch.records import INPUT_SIZE_PX

FIGURES = ("image_auroc", "pixel_auroc", "pro")
PUBLISHED = (
    ("PaDiM R18-Rd100", 0.967, 0.901, "Defard et al. 2020"),
    ("PaDiM WR50-Rd550", 0.975, 0.921, "Defard et al. 2020"),
)
"""Mean pixel AUROC and PRO of MVTec AD's 15 classes."""
_MAX_CURVES = 6


@dataclass(frozen=True)
class PictureSettings:
    """What determines the figures, besides the data.

    Attributes:
        views_seed: of Rd-MVTec's views; None looks at the middle of every picture.
    """

    spec: BackboneSpec
    device: str = "auto"
    precision: str = "float32"
    views_seed: int | None = None


def report_document(
    dataset: PictureDataset, results: Sequence[ClassResult], settings: PictureSettings, facts: RunFacts
) -> dict[str, Any]:
    """The whole of report.json; figures 0 to 1, null where undefined."""
    classes = {result.name: class_figures(result) for result in results}
    return {
        "dataset": dataset.name if settings.views_seed is None else f"rd-{dataset.name}",
        "backbone": settings.spec.name,
        "dims": settings.spec.dims or architecture(settings.spec.name).default_dims,
        **mean_figures(classes[result.name] for result in results),
        "textures": mean_figures(classes[result.name] for result in results if result.is_texture),
        "objects": mean_figures(classes[result.name] for result in results if not result.is_texture),
        "classes": classes,
        "pictures": sum(len(result.scores) for result in results),
        "published": [
            {"method": method, "pixel_auroc": pixel, "pro": pro, "source": source} for method, pixel, pro, source in PUBLISHED
        ],
        "problems": [*dataset.problems, *(problem for result in results for problem in result.problems)],
        "protocol": _protocol(settings, facts),
        "software": software_facts(),
        "machine": machine_facts(settings.device),
        "command": facts.command,
        "wall_time_s": round(facts.wall_time_s, 1),
    }


def class_figures(result: ClassResult) -> dict[str, Any]:
    """One class's."""
    return {
        "image_auroc": result.image_auroc(),
        "pixel_auroc": result.pixels.auroc(),
        "pixel_auroc_error_bound": result.pixels.auroc_error_bound(),
        "pro": result.pixels.pro(),
        "trained": result.trained,
        "tested": len(result.scores),
        "with_defect": sum(result.anomalous),
    }


def mean_figures(classes: Iterable[Mapping[str, Any]]) -> dict[str, float | None]:
    """Means over classes, each counting the same, of those that have the figure."""
    rows = list(classes)
    known = {name: [row[name] for row in rows if row[name] is not None] for name in FIGURES}
    return {name: fmean(values) if values else None for name, values in known.items()}


def render_report(report: Mapping[str, Any], results: Sequence[ClassResult]) -> str:
    """The whole of report.html, one self-contained page."""
    environment = Environment(loader=PackageLoader("streamwatch.evaluation"), autoescape=select_autoescape(["j2"]))
    template = environment.get_template("pictures.html.j2")
    gallery = [(result.name, shown, base64.b64encode(shown.jpeg).decode()) for result in results for shown in result.gallery]
    return template.render(report=report, plots=_plots(results), gallery=gallery)


def _plots(results: Sequence[ClassResult]) -> list[str]:
    lowest = sorted(results, key=lambda result: result.pixels.pro() or 0.0)[:_MAX_CURVES]
    pixels = [(result.name, *result.pixels.roc()) for result in lowest]
    regions = [(result.name, *result.pixels.pro_curve()) for result in lowest]
    return [
        curve_plot(pixels, x_label="false positive rate", y_label="true positive rate (pixels)"),
        curve_plot(regions, x_label="false positive rate", y_label="mean region coverage", x_limit=PRO_FPR_LIMIT),
    ]


def _protocol(settings: PictureSettings, facts: RunFacts) -> dict[str, Any]:
    crop = f"the middle {CROP_PX}x{CROP_PX}"
    if settings.views_seed is not None:
        crop = (
            f"turned by up to {MAX_ROTATION_DEG} degrees (bilinear, mirrored at edges) and cropped to {CROP_PX}x{CROP_PX}, "
            f"training and test alike, at random: each picture by the sha256 of seed {settings.views_seed} and its name"
        )
    return {
        "models": "one per class, fitted on its train/good only",
        "weights": facts.weights,
        "seed": settings.spec.seed,
        "precision": settings.precision,
        "pictures": f"resized to {INPUT_SIZE_PX}x{INPUT_SIZE_PX} (bicubic), {crop}",
        "maps": f"upsampled to {CROP_PX}x{CROP_PX} (bicubic), then blurred (sigma 4 pixels)",
        "image_score": "the map's maximum",
        "pixel_figures": f"at {CROP_PX}x{CROP_PX}, masks by the nearest pixel, each class by itself, streaming histogram",
        "pro_fpr_limit": PRO_FPR_LIMIT,
        "means": "over classes, each counting the same",
    }
