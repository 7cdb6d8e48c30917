"""docs/performance/README.md, from the ledger of optimisations beside it and the figures in benchmarks/."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks import results
from tools.footage import REPOSITORY

LEDGER = REPOSITORY / "docs/performance/optimisations.json"
INTRODUCTION = """\
`streamwatch bench` measures a machine of yours; `make bench`, `make peers` and `make gpu` measure this code, and
[Benchmarks](../benchmarks.md) has all figures. Ratios are of one run.
"""
PRECISIONS = ("performance", "performance_bf16", "performance_float32", "performance_avx2")
FIGURES = (*PRECISIONS, "per_camera", "motion_gate", "gpu", "peers")
"""Files of benchmarks/ that say how fast it is, in the order in which they are shown; one that is not there is left out."""


def performance_page() -> str:
    """The page."""
    ledger = json.loads(LEDGER.read_text())
    return "".join([INTRODUCTION, *_measured(), *_ledger(ledger)])


def _ledger(ledger: Mapping[str, Any]) -> Iterator[str]:
    yield "\n## What was tried, and what it gave\n\n"
    yield f"Where nothing else is said, {ledger['machine']}\n\n### What paid\n\n"
    yield _table(("change", "predicted", "gained", "commit"), ledger["paid"])
    yield "\n### What did not pay\n\n"
    yield _table(("tried", "found"), ledger["did_not_pay"])
    yield "\n### Where the time goes\n\n"
    yield "".join(f"- {line}\n" for line in ledger["where_the_time_goes"])


def _table(columns: Sequence[str], rows: Sequence[Mapping[str, str]]) -> str:
    head = f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}\n"
    return head + "".join(f"| {' | '.join(row[column] for column in columns)} |\n" for row in rows)


def _document(name: str) -> dict[str, Any] | None:
    path = results.FOLDER / f"{name}.json"
    found: dict[str, Any] | None = json.loads(path.read_text()) if path.is_file() else None
    return found


def _measured() -> Iterator[str]:
    for name in FIGURES:
        document = _document(name)
        if document is not None:
            yield results.section(document)
            if name == "per_camera":
                yield _plots(document["points"])


def _plots(points: Sequence[Mapping[str, float]]) -> str:
    """How a camera's cost grows with their number, which is what a plan for a site stands on."""
    return "".join(
        [
            "\nThe time of a frame, and the process's memory, by the number of cameras:\n",
            _plot("ms a frame", points, "frame_ms"),
            _plot("MiB", points, "rss_mib"),
        ]
    )


def _plot(unit: str, points: Sequence[Mapping[str, float]], key: str) -> str:
    """A chart that GitHub draws."""
    values = [point[key] for point in points]
    cameras = ", ".join(f'"{point["cameras"]:g}"' for point in points)
    lines = [
        "xychart-beta",
        f'    x-axis "cameras" [{cameras}]',
        f'    y-axis "{unit}" 0 --> {1.1 * max(values):.0f}',
        f"    line [{', '.join(f'{value:g}' for value in values)}]",
    ]
    return "\n<!-- not run: a chart -->\n```mermaid\n" + "\n".join(lines) + "\n```\n"
