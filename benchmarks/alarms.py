"""What alarms come to on real footage: against labels, and promised against realised where nothing happens.

python -m benchmarks.alarms --out docs/alarms.md [--ped2 build/ped2-stc]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.results import Figure, record
from streamwatch.backtest.figures import Row, Span, poisson_interval, table
from streamwatch.backtest.replay import Replayed, replay
from streamwatch.config.schema import Config
from streamwatch.evaluation.frame_figures import intervals
from streamwatch.events.decision import EventPolicy
from streamwatch.events.peaks import alarms
from streamwatch.model.artifact.serialization import load_model
from streamwatch.model.calibration.thresholds import DAY_S, NormalPeaks, Thresholds, thresholds_for
from streamwatch.records import ScoreStream
from streamwatch.scenes.policy import policies_for
from tools.footage import SHARED_DATA, run_command

PED2_RATE_HZ = 10
BUDGETS_PER_HOUR = (1, 10, 60, 300)
LEARNED_SHARE = 0.5
"""Of the courtyard: its second half is what nobody has seen."""


@dataclass(frozen=True)
class Site:
    """A configuration with one camera, on disk."""

    folder: Path
    config: Config

    def fit(self, *arguments: object) -> None:
        """Learn the camera."""
        run_command("fit", "-c", self.folder / "site.yaml", "cam", *arguments)

    def replays(self, sources: Sequence[Path]) -> list[Replayed]:
        """Watch recordings."""
        policies = policies_for(self.config, "cam", load_model(self.config.model_path("cam"))[0])
        return [
            replay(self.config, "cam", str(s), self.folder / f"replay{n}", policies, on_frames=lambda _: None)
            for n, s in enumerate(sources)
        ]


def site_of(folder: Path, normal: Sequence[Path], budget: str) -> Site:
    """The camera as a user would set it up, but for the shorter durations that clips of 20 s need."""
    folder.mkdir()
    document: dict[str, Any] = {
        "version": 1,
        "data_dir": str(folder / "data"),
        "backbone": {"weights": "untrained"},
        "defaults": {"fps": "native", "min_duration": "500ms", "end_delay": "1s", "cooldown": "2s", "alarm_budget": budget},
        "cameras": {"cam": {"source": "rtsp://127.0.0.1:1/", "normal": list(map(str, normal))}},
        "metrics": {"listen": None},
        "web": {"listen": None},
    }
    (folder / "site.yaml").write_text(json.dumps(document))
    return Site(folder, Config.model_validate(document))


def labelled(ped2: Path, folder: Path) -> list[Row]:
    """Ped2's test clips against their truth, by budget."""
    site = site_of(folder, sorted((ped2 / "training/videos").glob("*.avi")), "1/hour")
    site.fit()
    clips = sorted((ped2 / "testing/frames").iterdir())
    truth: Mapping[str, Sequence[Span]] = {
        str(clip): [
            (first / PED2_RATE_HZ, last / PED2_RATE_HZ)
            for first, last in intervals(np.load(ped2 / "testing/test_frame_mask" / f"{clip.name}.npy").astype(bool))
        ]
        for clip in clips
    }
    model = load_model(site.config.model_path("cam"))[0]
    policies = policies_for(site.config, "cam", model)
    return [row for row in table(site.replays(clips), policies, model.calibration_, (), truth) if not row.chosen]


@dataclass(frozen=True)
class Promise:
    """A budget, and what unseen normal footage made of it."""

    footage: str
    budget_per_hour: float
    thresholds: Thresholds
    alarms: int
    exposure_s: float

    def cells(self) -> tuple[str, ...]:
        """As a row of the page."""
        t, hours = self.thresholds, self.exposure_s / 3600
        low, high = (rate / 24 for rate in poisson_interval(self.alarms, self.exposure_s))
        stated = tuple(rate / 24 for rate in t.interval_per_day)
        return (
            self.footage, f"{self.budget_per_hour:g}", f"{t.start:.2f}{' (extrapolated)' if t.provisional else ''}",
            f"{t.expected_per_day / 24:.3g} ({stated[0]:.2g} to {stated[1]:.3g})",
            f"{self.alarms} in {self.exposure_s:.0f} s", f"{self.alarms / hours:.3g} ({low:.2g} to {high:.3g})",
            "yes" if low <= stated[1] and stated[0] <= high else "NO",
        )  # fmt: skip


def promises(footage: str, site: Site, streams: Sequence[ScoreStream]) -> list[Promise]:
    """Every budget against the alarms that unseen footage raises."""
    model = load_model(site.config.model_path("cam"))[0]
    known = model.calibration_.peaks_of("") if model.calibration_ else None
    if known is None:
        raise ValueError(f"{footage}: the footage is too short to calibrate on")
    return [_promise(footage, site, streams, known, budget) for budget in BUDGETS_PER_HOUR]


def _promise(footage: str, site: Site, streams: Sequence[ScoreStream], known: NormalPeaks, per_hour: float) -> Promise:
    thresholds = thresholds_for(known, per_hour * DAY_S / 3600)
    settings = site.config.settings("cam")
    rules = EventPolicy(thresholds.start, thresholds.end, settings.min_duration, settings.end_delay, settings.cooldown)
    raised = sum(len(alarms(stream, rules)) for stream in streams)
    return Promise(footage, per_hour, thresholds, raised, sum(stream.exposure_s for stream in streams))


def unseen_ped2(ped2: Path, folder: Path) -> list[Promise]:
    """Every second training video is learned, the others are watched."""
    videos = sorted((ped2 / "training/videos").glob("*.avi"))
    site = site_of(folder, videos[::2], "10/hour")
    site.fit()
    streams = [stream for replayed in site.replays(videos[1::2]) for stream in replayed.streams[""]]
    return promises("Ped2's training videos, every second one learned", site, streams)


def unseen_courtyard(folder: Path) -> list[Promise]:
    """The first half is learned, the second watched."""
    video, half_s, whole_s = SHARED_DATA / "courtyard.avi", 79.5 * LEARNED_SHARE, 79.5
    site = site_of(folder, [video], "10/hour")
    site.fit("--exclude", f"{half_s:g}s-{whole_s:g}s")
    watched = [stream for replayed in site.replays([video]) for stream in replayed.streams[""]]
    unseen = [ScoreStream(s.at_s[s.at_s > half_s + 1], s.levels[s.at_s > half_s + 1]) for s in watched]
    return promises("courtyard, the first half learned", site, [stream for stream in unseen if len(stream.at_s)])


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.0f} %"


def page(rows: Sequence[Row], promised: Sequence[Promise], command: str) -> str:
    """Both tables as Markdown."""
    lines = [
        "# Alarms on real footage",
        "",
        "Generated by the command below; do not edit. `resnet18`, `untrained`, d=100, `features: both`, every frame;",
        "`min_duration` 0.5 s, `end_delay` 1 s, `cooldown` 2 s.",
        "",
        f"- command: `{command}`",
        f"- machine: {os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        "",
        "## Ped2's test clips, by budget",
        "",
        "Learned from the 16 training videos (255 s). All thresholds are extrapolated: a budget of 10/hour takes 18 minutes.",
        "",
        "| budget | threshold | alarms | precision | recall | false per hour | delay |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        f = row.figures
        if f is not None:
            false, delay = f.false_alarms_per_hour, f.delay_s
            cells = (row.name, f"{row.starts['']:.2f}", row.alarms, _percent(f.precision), _percent(f.recall), false, delay)
            lines.append(
                "| " + " | ".join("-" if c is None else f"{c:.1f}" if isinstance(c, float) else str(c) for c in cells) + " |"
            )
    lines += [
        "",
        "## Promised and realised on normal footage that the model has not seen",
        "",
        "Rates per hour with 95 % intervals: the promise's is what is believed of the rate at that threshold, the realised",
        "one's is of a Poisson rate. They agree if the intervals meet, which footage so short refutes only where a promise is",
        "grossly wrong.",
        "",
        "| footage | budget per hour | threshold | promised | alarms | realised | agree |",
        "|---|---|---|---|---|---|---|",
        *("| " + " | ".join(promise.cells()) + " |" for promise in promised),
    ]
    return "\n".join(lines) + "\n"


def figure_of(row: Row) -> Figure:
    """A row as a figure."""
    f = row.figures
    found = f"precision {_percent(f.precision)}, recall {_percent(f.recall)}" if f else "no labels"
    return Figure(f"Ped2's test clips, {row.name}", f"{row.alarms} alarms, {found}")


def promise_figure(promise: Promise) -> Figure:
    """A promise and what became of it as a figure."""
    footage, budget, _, stated, alarms, _, agree = promise.cells()
    return Figure(f"{footage}, {budget}/hour: promised {stated}", alarms, "", f"the intervals meet: {agree}")


def main() -> None:
    """Run and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--ped2", type=Path, default=Path("build/ped2-stc"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = labelled(arguments.ped2, folder / "labelled")
        promised = [*unseen_ped2(arguments.ped2, folder / "unseen"), *unseen_courtyard(folder / "courtyard")]
    record("alarms", "Alarms on real footage", [*map(figure_of, rows), *map(promise_figure, promised)])
    arguments.out.write_text(page(rows, promised, f"python -m benchmarks.alarms --out {arguments.out}"))


if __name__ == "__main__":
    main()
