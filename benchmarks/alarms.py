"""What alarms come to on real footage: against labels, and promised against realised where nothing happens.

python -m benchmarks.alarms --out docs/alarms.md [--ped2 build/ped2-stc] [--budgets 1/day 10/day]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.footage_alarms import FOOTAGE, Watched, labelled_footage, planted_into
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
PLANTED_INTO = [SHARED_DATA / "courtyard.avi", SHARED_DATA / "plaza.avi", *sorted(FOOTAGE.glob("*_learn.mp4"))]
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
    field: str
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
            self.footage, self.field, f"{self.budget_per_hour:g}", f"{t.start:.2f}{' (provisional)' if t.provisional else ''}",
            f"{t.expected_per_day / 24:.3g} ({stated[0]:.2g} to {stated[1]:.3g})",
            f"{self.alarms} in {self.exposure_s:.0f} s", f"{self.alarms / hours:.3g} ({low:.2g} to {high:.3g})",
            "yes" if low <= stated[1] and stated[0] <= high else "NO",
        )  # fmt: skip


def promises(footage: str, site: Site, streams: Mapping[str, Sequence[ScoreStream]]) -> list[Promise]:
    """Every field's share of every budget against the alarms that it raises on unseen footage; streams by field."""
    model = load_model(site.config.model_path("cam"))[0]
    known = model.calibration_.peaks_of("") if model.calibration_ else ()
    if not known:
        raise ValueError(f"{footage}: the footage is too short to calibrate on")
    shares = [budget / len(known) for budget in BUDGETS_PER_HOUR]
    return [_promise(footage, site, streams[peaks.field], peaks, share) for peaks in known for share in shares]


def streams_of(replays: Sequence[Replayed], from_s: float = 0.0) -> dict[str, list[ScoreStream]]:
    """What each field measured of the picture, from a time on."""
    found: dict[str, list[ScoreStream]] = {}
    for replayed in replays:
        for (_, field), streams in replayed.field_streams.items():
            kept = [ScoreStream(s.at_s[s.at_s > from_s], s.levels[s.at_s > from_s]) for s in streams]
            found.setdefault(field, []).extend(stream for stream in kept if len(stream.at_s))
    return found


def _promise(footage: str, site: Site, streams: Sequence[ScoreStream], known: NormalPeaks, per_hour: float) -> Promise:
    thresholds = thresholds_for(known, per_hour * DAY_S / 3600)
    settings = site.config.settings("cam")
    rules = EventPolicy(thresholds.start, thresholds.end, settings.min_duration, settings.end_delay, settings.cooldown)
    raised = sum(len(alarms(stream, rules)) for stream in streams)
    return Promise(footage, known.field, per_hour, thresholds, raised, sum(stream.exposure_s for stream in streams))


def unseen_ped2(ped2: Path, folder: Path) -> list[Promise]:
    """Every second training video is learned, the others are watched."""
    videos = sorted((ped2 / "training/videos").glob("*.avi"))
    site = site_of(folder, videos[::2], "10/hour")
    site.fit()
    return promises("Ped2's training videos, every second one learned", site, streams_of(site.replays(videos[1::2])))


def unseen_courtyard(folder: Path) -> list[Promise]:
    """The first half is learned, the second watched."""
    video, half_s, whole_s = SHARED_DATA / "courtyard.avi", 79.5 * LEARNED_SHARE, 79.5
    site = site_of(folder, [video], "10/hour")
    site.fit("--exclude", f"{half_s:g}s-{whole_s:g}s")
    return promises("courtyard, the first half learned", site, streams_of(site.replays([video]), half_s + 1))


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.0f} %"


def watched_table(watched: Sequence[Watched]) -> list[str]:
    """Every clip, and a total."""
    lines = ["| camera | watched | seconds | found | false | delay |", "|---|---|---|---|---|---|"]
    for clip in watched:
        found = f"{clip.found} of {len(clip.truth)}" if clip.truth else "-"
        delay = "-" if clip.delay_s is None else f"{clip.delay_s:.1f} s"
        lines.append(f"| {clip.site} | {clip.what} | {clip.duration_s:.0f} | {found} | {clip.false} | {delay} |")
    total = totals_of(watched)
    lines.append(f"| **total** | | {total.seconds:.0f} | {total.found} of {total.things} | {total.false} | |")
    return lines


@dataclass(frozen=True)
class Totals:
    """Of many clips."""

    seconds: float
    things: int
    found: int
    false: int

    @property
    def false_per_hour(self) -> float:
        """Rate of false alarms."""
        return self.false / self.seconds * 3600


def totals_of(watched: Sequence[Watched]) -> Totals:
    """What they come to together."""
    return Totals(
        sum(clip.duration_s for clip in watched),
        sum(len(clip.truth) for clip in watched),
        sum(clip.found for clip in watched),
        sum(clip.false for clip in watched),
    )


def total_figures(name: str, watched: Sequence[Watched]) -> list[Figure]:
    """Found and false, of all and of what is done to the clips."""
    figures = []
    for what in ("", *dict.fromkeys(clip.what for clip in watched)):
        total = totals_of([clip for clip in watched if not what or clip.what == what])
        found = f"{total.found} of {total.things} found, " if total.things else ""
        text = f"{found}{total.false} false in {total.seconds:.0f} s"
        figures.append(Figure(f"{name}{', ' if what else ': all'}{what}", text))
    return figures


def page(rows: Sequence[Row], promised: Sequence[Promise], sections: Mapping[str, Sequence[Watched]], command: str) -> str:
    """All tables as Markdown."""
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
        "Learned from the 16 training videos (255 s), which support a budget of 85/hour: beyond it a threshold is what they",
        "do support, whatever the budget.",
        "",
        "| budget | threshold | alarms | precision | recall | false per hour | delay |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        f = row.figures
        if f is not None:
            false, delay = f.false_alarms_per_hour, f.delay_s
            cells = (row.name, row.starts_text, row.alarms, _percent(f.precision), _percent(f.recall), false, delay)
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
        "| footage | field | its budget per hour | threshold | promised | alarms | realised | agree |",
        "|---|---|---|---|---|---|---|---|",
        *("| " + " | ".join(promise.cells()) + " |" for promise in promised),
    ]
    for title, watched in sections.items():
        lines += ["", f"## {title}", "", *watched_table(watched)]
    return "\n".join(lines) + "\n"


def figure_of(row: Row) -> Figure:
    """A row as a figure."""
    f = row.figures
    found = f"precision {_percent(f.precision)}, recall {_percent(f.recall)}" if f else "no labels"
    return Figure(f"Ped2's test clips, {row.name}", f"{row.alarms} alarms, {found}")


def promise_figure(promise: Promise) -> Figure:
    """A promise and what became of it as a figure."""
    footage, field, budget, _, stated, alarms, _, agree = promise.cells()
    return Figure(f"{footage}, {field}, {budget}/hour: promised {stated}", alarms, "", f"the intervals meet: {agree}")


def main() -> None:
    """Run and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--ped2", type=Path, default=Path("build/ped2-stc"))
    parser.add_argument("--clips", nargs="+", type=Path, default=PLANTED_INTO, help="what things are planted into")
    parser.add_argument("--budgets", nargs="+", default=["1/day"], help="of the cameras that nobody tuned")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = labelled(arguments.ped2, folder / "labelled")
        promised = [*unseen_ped2(arguments.ped2, folder / "unseen"), *unseen_courtyard(folder / "courtyard")]
        sections = untuned(folder, arguments.clips, arguments.budgets)
    totals = [figure for title, watched in sections.items() for figure in total_figures(title, watched)]
    record("alarms", "Alarms on real footage", [*map(figure_of, rows), *map(promise_figure, promised), *totals])
    command = f"python -m benchmarks.alarms {shlex.join(sys.argv[1:])}"
    arguments.out.write_text(page(rows, promised, sections, command))


def untuned(folder: Path, clips: Sequence[Path], budgets: Sequence[str]) -> dict[str, list[Watched]]:
    """Cameras as a new user sets them up, by budget."""
    sections: dict[str, list[Watched]] = {}
    for number, budget in enumerate(budgets):
        at = folder / f"budget{number}"
        sections[f"Labelled footage, {budget}"] = list(labelled_footage(at / "footage", budget))
        sections[f"Planted things and nuisances, {budget}"] = list(planted_into(at / "planted", clips, budget))
    return sections


if __name__ == "__main__":
    main()
