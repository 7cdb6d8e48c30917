"""Figures of `make eval`, from its reports to ``benchmarks/accuracy.json``.

python -m benchmarks.accuracy build/appearance build/both
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.results import Figure, record

BOUNDS = {("both fields", "pixel AUROC, PRO"): "99.0 pixel", ("both fields", "causal frame AUROC micro, macro"): "98.5 micro"}


def figures_of(name: str, report: Mapping[str, Any]) -> Iterator[Figure]:
    """What a report comes to, in per cent."""
    causal, regions = report["causal"], report["mask_derived"]
    pairs = {
        "pixel AUROC, PRO": (report["pixel_auroc"], report["pro"]),
        "frame AUROC micro, macro": (report["frame_auroc_micro"], report["frame_auroc_macro"]),
        "causal frame AUROC micro, macro": (causal["frame_auroc_micro"], causal["frame_auroc_macro"]),
        "RBDC, TBDC (mask_derived)": (regions["rbdc"], regions["tbdc"]),
    }
    for what, values in pairs.items():
        yield Figure(f"{name}: {what}", ", ".join(f"{100 * value:.2f}" for value in values), "", BOUNDS.get((name, what), ""))
    alarms = report["alarms"]
    found = f"recall {100 * alarms['recall']:.0f} %, {alarms['false_alarms_per_hour']:.1f} false per hour"
    yield Figure(f"{name}: alarms at 1/day", found)


def main() -> None:
    """Read both reports and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("appearance", type=Path)
    parser.add_argument("both", type=Path)
    arguments = parser.parse_args()
    figures = [
        figure
        for name, folder in (("appearance", arguments.appearance), ("both fields", arguments.both))
        for figure in figures_of(name, json.loads((folder / "report.json").read_text()))
    ]
    record("accuracy", "UCSD Ped2 under the STC protocol (`make eval`)", figures)


if __name__ == "__main__":
    main()
