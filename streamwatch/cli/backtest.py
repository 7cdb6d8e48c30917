"""`streamwatch backtest`: what a camera would have raised on recordings."""

from __future__ import annotations

import json
import math
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from streamwatch.backtest.by_source import ReplayWork, replay_by_source
from streamwatch.backtest.figures import Row, Span, read_labels, table
from streamwatch.backtest.page import render_page
from streamwatch.backtest.replay import Replayed, ReplayedEvent, replay
from streamwatch.cli.options import require_camera, required_config_option, warn_if_untrained
from streamwatch.cli.progress import frame_progress
from streamwatch.cli.workers import WorkerChoice, engine_options, workers_option
from streamwatch.config.loading import load_config
from streamwatch.config.schema import Config
from streamwatch.documents import event_document
from streamwatch.errors import UsageError
from streamwatch.files import require_folder_of, write_atomically
from streamwatch.learning.footage import Footage, expected_frames
from streamwatch.recalibration.commands import in_force_of
from streamwatch.scenes.model_files import load_scenes
from streamwatch.scenes.policy import CalibratedPolicy, policies_for
from streamwatch.video.sources import camera_source
from streamwatch.video.streams.opener import PyAvOpener


@click.command("backtest")
@click.argument("camera")
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@required_config_option
@click.option("--threshold", "thresholds", type=click.FloatRange(min=0, min_open=True), multiple=True, help="Try this too.")
@click.option("--labels", type=click.Path(path_type=Path), help="CSV of what happened: start_s,end_s and, for many, source.")
@click.option("--report", type=click.Path(path_type=Path), help="Write an HTML page with every event here.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@engine_options
@workers_option
@click.pass_context
def command(
    context: click.Context,
    camera: str,
    sources: tuple[str, ...],
    config_path: Path,
    thresholds: tuple[float, ...],
    labels: Path | None,
    report: Path | None,
    as_json: bool,
    engine: str,
    address: str,
    workers: int | None,
) -> None:
    """Watch recordings as CAMERA, faster than real time, and say what would have been raised.

    Nothing is stored or sent. The table shows other thresholds and budgets on the same footage.
    """
    del engine, address, workers  # WorkerChoice has them
    config = load_config(config_path)
    by = WorkerChoice.of(context, device=config.device)
    by.require_local_without_workers()
    require_camera(config, camera)
    if not all(map(math.isfinite, thresholds)):
        raise UsageError("a threshold must be a finite number")
    if report is not None:
        require_folder_of(report)
    truth = read_labels(labels, sources) if labels else None
    total = _expected(config, camera, sources)
    in_force, scenes = in_force_of(config), load_scenes(config, [camera])[camera]
    model = scenes.first.model
    calibration = in_force.calibrations(config, camera, scenes)[model.regime if scenes.by_regime else None]
    policies = policies_for(config, camera, model, calibration=calibration)
    regime = model.regime if config.settings(camera).regimes == "auto" else None
    warn_if_untrained(config.backbone.weights)
    work = ReplayWork(config, camera, policies, regime, in_force)
    with tempfile.TemporaryDirectory(prefix="streamwatch-backtest-") as folder:
        with by.mapper() as mapper, frame_progress(f"backtest {camera}", total) as advance:
            if mapper is None:
                replays = [_replay(work, source, Path(folder) / str(n), advance) for n, source in enumerate(sources)]
            else:
                replays = list(_counted(replay_by_source(work, sources, Path(folder), mapper), advance))
        rows = table(replays, policies, calibration, thresholds, truth)
        if report is not None:
            write_atomically(report, render_page(camera, replays, rows, policies, truth))
    if as_json:
        click.echo(json.dumps(_document(camera, replays, rows)))
        return
    _print(replays, rows, policies, truth)
    if report is not None:
        click.echo(f"page: {report}")


def _replay(work: ReplayWork, source: str, folder: Path, advance: Callable[[int], None]) -> Replayed:
    return replay(
        work.config,
        work.camera,
        source,
        folder,
        work.policies,
        on_frames=advance,
        regime=work.regime,
        in_force=work.in_force,
    )


def _counted(replays: Iterable[Replayed], advance: Callable[[int], None]) -> Iterator[Replayed]:
    for replayed in replays:
        advance(replayed.frames)
        yield replayed


def _expected(config: Config, camera: str, sources: Sequence[str]) -> int | None:
    settings = config.settings(camera)
    parsed = tuple(camera_source(source, settings, footage=True) for source in sources)
    if any(source.live for source in parsed):
        raise UsageError("a live source never ends", hint="record it first")
    return expected_frames(Footage(parsed, fps=None if settings.fps == "native" else settings.fps), PyAvOpener())


def _document(camera: str, replays: Sequence[Replayed], rows: Sequence[Row]) -> dict[str, Any]:
    chosen = rows[0]
    return {
        "camera": camera,
        "sources": [replayed.source for replayed in replays],
        "frames": sum(replayed.frames for replayed in replays),
        "duration_s": round(sum(replayed.duration_s for replayed in replays), 3),
        "alarms_per_day": chosen.per_day,
        "alarms_per_day_interval": list(chosen.interval_per_day),
        "events": [_evidence(r, e) for r in replays for e in r.events],
        "near_misses": [_evidence(r, e) for r in replays for e in r.near_misses],
        "table": [asdict(row) for row in rows],
    }


def _evidence(replayed: Replayed, evidence: ReplayedEvent) -> dict[str, Any]:
    return {"source": replayed.source, **event_document(evidence.event)}


def _print(
    replays: Sequence[Replayed],
    rows: Sequence[Row],
    policies: Mapping[str, CalibratedPolicy],
    truth: Mapping[str, Sequence[Span]] | None,
) -> None:
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(_table(rows, labelled=truth is not None))
    for replayed in replays:
        for evidence in replayed.events:
            event = evidence.event
            click.echo(
                f"event {event.start_time_s:8.1f}-{event.end_time_s or 0:.1f} s  peak {event.peak.score:.2f} "
                f"(threshold {event.start_threshold:.2f})  {event.severity}  {replayed.source}"
            )
    near = sum(len(replayed.near_misses) for replayed in replays)
    click.echo(f"{near} near miss(es) between the end and the start threshold; --report shows them")
    if any(calibrated.policy.provisional for calibrated in policies.values()):
        click.echo("note: the threshold is extrapolated; see `streamwatch model show`", err=True)


def _table(rows: Sequence[Row], *, labelled: bool) -> Table:
    headings = ["setting", "start threshold", "alarms", "per day", "95 % interval", "alarm time"]
    grid = Table(box=None, header_style="bold", pad_edge=False)
    for heading in headings + (["precision", "recall", "false/hour", "delay"] if labelled else []):
        grid.add_column(heading, justify="left" if heading == "setting" else "right", no_wrap=True)
    for row in rows:
        low, high = row.interval_per_day
        cells = [
            row.name,
            row.starts_text,
            str(row.alarms),
            f"{row.per_day:.1f}",
            f"{low:.1f} - {high:.1f}",
            f"{row.alarm_time_s:.1f} s",
        ]
        if row.figures:
            f = row.figures
            shown = (
                (f.precision, "{:.2f}"),
                (f.recall, "{:.2f}"),
                (f.false_alarms_per_hour, "{:.1f}"),
                (f.delay_s, "{:.1f} s"),
            )
            cells += ["-" if value is None else form.format(value) for value, form in shown]
        grid.add_row(*cells)
    return grid
