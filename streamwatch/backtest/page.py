"""backtest.html: the table, the levels over time, and every event and near miss with its heat map, in one page."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, select_autoescape

from streamwatch.backtest.figures import Row, Span
from streamwatch.backtest.replay import Replayed, ReplayedEvent
from streamwatch.evaluation.svg import timeline
from streamwatch.scenes.policy import CalibratedPolicy


def render_page(
    camera: str,
    replays: Sequence[Replayed],
    rows: Sequence[Row],
    policies: Mapping[str, CalibratedPolicy],
    labels: Mapping[str, Sequence[Span]] | None,
) -> str:
    """The whole page, self-contained."""
    environment = Environment(loader=PackageLoader("streamwatch.backtest"), autoescape=select_autoescape(["j2"]))
    return environment.get_template("backtest.html.j2").render(
        camera=camera,
        rows=rows,
        labelled=labels is not None,
        policies=policies,
        duration_s=sum(replayed.duration_s for replayed in replays),
        speed=sum(r.duration_s for r in replays) / max(sum(r.took_s for r in replays), 1e-9),
        timelines=[t for replayed in replays for t in _timelines(replayed, policies, labels)],
        events=[_card(replayed, evidence) for replayed in replays for evidence in replayed.events],
        near_misses=[_card(replayed, evidence) for replayed in replays for evidence in replayed.near_misses],
        notices=[(replayed.source, notice) for replayed in replays for notice in replayed.notices],
    )


def _timelines(
    replayed: Replayed, policies: Mapping[str, CalibratedPolicy], labels: Mapping[str, Sequence[Span]] | None
) -> list[dict[str, str]]:
    drawn = []
    for zone, streams in replayed.streams.items():
        if not streams:
            continue
        at_s, levels = (np.concatenate([getattr(s, name) for s in streams]) for name in ("at_s", "levels"))
        shaded = np.zeros(len(at_s), dtype=bool)
        for start_s, end_s in (labels or {}).get(replayed.source, ()):
            shaded |= (at_s >= start_s) & (at_s <= end_s)
        start = policies[zone].policy.event_policy.start_threshold
        name = f"{replayed.source}, zone {zone}" if zone else replayed.source
        drawn.append({"name": name, "svg": timeline(at_s, levels, shaded, start), "end": f"{at_s[-1]:.0f} s"})
    return drawn


def _card(replayed: Replayed, evidence: ReplayedEvent) -> dict[str, object]:
    return {"source": replayed.source, "event": evidence.event, "image": _inline(evidence.snapshot)}


def _inline(path: Path | None) -> str | None:
    if path is None or not path.is_file():  # where the disk did not take it, the page has no picture of it
        return None
    return f"data:image/jpeg;base64,{base64.b64encode(path.read_bytes()).decode()}"
