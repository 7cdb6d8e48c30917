"""Figures as files: what was measured, by which command, at which commit, on which machine."""

from __future__ import annotations

import json
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from streamwatch.files import write_atomically
from tools.footage import REPOSITORY

FOLDER = REPOSITORY / "benchmarks"


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        bound: what it is held to, as it is said; empty for none.
    """

    what: str
    value: float | str
    unit: str = ""
    bound: str = ""


def machine() -> dict[str, Any]:
    """What the figures are of: processor, cores, memory, GPU, and the versions that matter for speed."""
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory_kib = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())
    return {
        "cpu": cpu[1] if cpu else platform.processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(int(memory_kib[1]) / 2**20) if memory_kib else None,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def commit() -> str:
    """The commit that was measured, with a + if files differed from it."""
    git = ["git", "-C", str(REPOSITORY)]
    head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], check=False, capture_output=True, text=True)
    changed = subprocess.run([*git, "status", "--porcelain"], check=False, capture_output=True, text=True)
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")


def record(name: str, title: str, figures: Sequence[Figure], **more: object) -> None:
    """Write ``benchmarks/NAME.json``; docs/benchmarks.md is made from it by `make docs`.

    Args:
        more: JSON-ready facts besides the figures.
    """
    module = sys.modules["__main__"].__spec__
    command = shlex.join(["python", "-m", module.name if module else name, *sys.argv[1:]])
    document: Mapping[str, Any] = {
        "name": name,
        "title": title,
        "command": command,
        "commit": commit(),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "figures": [asdict(figure) for figure in figures],
        **more,
    }
    write_atomically(FOLDER / f"{name}.json", json.dumps(document, indent=1) + "\n")


def page() -> str:
    """docs/benchmarks.md, from every file."""
    parts = [
        "Figures of the commands in [benchmarks/](../benchmarks), each with its command, commit and machine. These are small, "
    ]
    parts.append("shared machines: compare figures of one run, not of two.\n")
    parts += [section(json.loads(path.read_text())) for path in sorted(FOLDER.glob("*.json"))]
    return "".join(parts)


def section(document: Mapping[str, Any]) -> str:
    """One file's figures as a section of a page."""
    where = document["machine"]
    gpu = f", {where['gpu']}" if where.get("gpu") else ", no GPU"
    versions = f"Python {where['python']}, torch {where['torch']}" if where.get("torch") else f"Python {where['python']}"
    rows = "".join(
        f"| {figure['what']} | {_value(figure['value'])} {figure['unit']} | {figure['bound'] or '-'} |\n"
        for figure in document["figures"]
    )
    made = f"`{document['command']}`, commit {document['commit']}, {document['date']}"
    place = f"{where['cpu']}, {where['cores']} cores{gpu}, {versions}"
    head = "| what | figure | held to |\n|---|---|---|\n"
    return f"\n## {document['title']}\n\n{made}; {place}.\n\n{head}{rows}"


def _value(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
