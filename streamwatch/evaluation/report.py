"""report.json (docs/decisions/0007-command-line.md, fixed): every figure of a run, with what it takes to repeat it."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch

from streamwatch import __version__
from streamwatch.evaluation.alarms import COOLDOWN_S, END_DELAY_S, MIN_DURATION_S, alarm_figures
from streamwatch.evaluation.curves import PRO_FPR_LIMIT
from streamwatch.evaluation.datasets.dataset import Dataset
from streamwatch.evaluation.frame_figures import (
    LITERATURE_SIGMA_S,
    ClipScores,
    causal,
    frame_figures,
    literature,
)
from streamwatch.evaluation.runner import pooled_pixels, pooled_regions
from streamwatch.evaluation.scene_run import SceneResult, Settings
from streamwatch.model.embedding.backbone import architecture
from streamwatch.model.scoring.temporal import TIME_CONSTANT_S


@dataclass(frozen=True)
class RunFacts:
    """What a report says of its own making."""

    command: str
    wall_time_s: float
    weights: str


def report_document(dataset: Dataset, results: list[SceneResult], settings: Settings, facts: RunFacts) -> dict[str, Any]:
    """The whole of report.json."""
    dims = settings.spec.dims or architecture(settings.spec.name).default_dims
    return {
        "dataset": dataset.name,
        "backbone": settings.spec.name,
        "dims": dims,
        **_figures(results, annotated=settings.annotated is not None),
        "scenes": {r.name: _scene(r, settings) for r in results},
        "problems": [*dataset.problems, *(problem for r in results for problem in r.problems)],
        "protocol": _protocol(settings, facts),
        "software": software_facts(),
        "machine": machine_facts(settings.device),
        "command": facts.command,
        "wall_time_s": round(facts.wall_time_s, 1),
    }


def _scene(result: SceneResult, settings: Settings) -> dict[str, Any]:
    return {
        **_figures([result], annotated=settings.annotated is not None),
        "train_frames": result.train_frames,
        "clips": len(result.clips),
        "start_threshold": result.start_threshold if result.clips else None,
    }


def _figures(results: list[SceneResult], *, annotated: bool) -> dict[str, Any]:
    """All figures over some scenes; the same keys for one scene and for all."""
    clips = [clip for result in results for clip in result.clips]
    pixels, regions = pooled_pixels(results), pooled_regions(results)
    rbdc, tbdc = (regions.rbdc(), regions.tbdc()) if regions else (None, None)
    return {
        "pixel_auroc": pixels.auroc(),
        "pixel_auroc_error_bound": pixels.auroc_error_bound(),
        "pro": pixels.pro(),
        **_frame_keys(clips),
        "rbdc": rbdc if annotated else None,
        "tbdc": tbdc if annotated else None,
        "mask_derived": None if annotated else {"rbdc": rbdc, "tbdc": tbdc},
        "frames": sum(result.frames for result in results),
        "causal": _frame_keys([causal(clip) for clip in clips]),
        "literature": _frame_keys([literature(clip) for clip in clips]),
        "alarms": asdict(alarm_figures(clips)),
    }


def _frame_keys(clips: list[ClipScores]) -> dict[str, float | None]:
    figures = frame_figures(clips)
    return {
        "frame_auroc_micro": figures.auroc_micro,
        "frame_auroc_macro": figures.auroc_macro,
        "frame_average_precision_micro": figures.average_precision,
        "frame_equal_error_rate_micro": figures.equal_error_rate,
    }


def _protocol(settings: Settings, facts: RunFacts) -> dict[str, Any]:
    return {
        "models": "one per scene, fitted on that scene's training videos only",
        "features": settings.features,
        "weights": facts.weights,
        "seed": settings.spec.seed,
        "precision": settings.precision,
        "train_frames_per_scene_at_most": settings.train_frames,
        "every_nth_test_frame": settings.every,
        "pixel_figures": "at the mask's resolution, map upsampled bicubic, pixels of all scenes pooled, streaming histogram",
        "pro_fpr_limit": PRO_FPR_LIMIT,
        "frame_score": "maximum of the smoothed map, no temporal smoothing",
        "micro": "all frames of all clips pooled",
        "macro": "mean over clips that have normal and anomalous frames",
        "causal": f"the daemon's level, after its causal filter of {TIME_CONSTANT_S} s, divided by the scene's threshold",
        "literature": f"two-sided Gaussian, {LITERATURE_SIGMA_S} s, then each clip's minimum and maximum to 0 and 1",
        "regions": "annotated" if settings.annotated is not None else "mask_derived: not comparable with published figures",
        "alarms": f"threshold from normal footage; min_duration {MIN_DURATION_S} s, end_delay {END_DELAY_S} s, "
        f"cooldown {COOLDOWN_S} s",
    }


def ablation_facts(dataset: Dataset, settings: Settings, command: str) -> dict[str, str]:
    """What it takes to make an ablation again."""
    frames = sum(len(clip.truth.labels) for scene in dataset.scenes for clip in scene.clips if clip.truth)
    data = f"{dataset.name}, {len(dataset.scenes)} scene(s), {frames} labelled test frames"
    return method_facts(settings, command) | {"data": data}


def method_facts(settings: Settings, command: str) -> dict[str, str]:
    """What it takes to make a table again, whatever the data."""
    spec, software, machine = settings.spec, software_facts(), machine_facts(settings.device)
    return {
        "command": f"`{command}`",
        "data": "",
        "backbone": f"{spec.name}, {spec.dims or architecture(spec.name).default_dims} dimensions, weights {spec.weights}",
        "software": ", ".join(f"{name} {version}" for name, version in software.items()),
        "machine": f"{machine['processor']}, {machine['cores']} cores, GPU: {machine['gpu'] or 'none'}",
    }


def software_facts() -> dict[str, str]:
    """Versions of what computes."""
    return {
        "streamwatch": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": version("torchvision"),
        "av": av.__version__,
        "numpy": np.__version__,
    }


def machine_facts(device: str) -> dict[str, Any]:
    """What it computes on; ``device`` as it was asked for."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() and device != "cpu" else None
    return {"processor": _processor(), "cores": os.cpu_count(), "threads": torch.get_num_threads(), "gpu": gpu}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
