"""`streamwatch events`: what happened, as a table, as JSON or as CSV, and what a person says of it."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from streamwatch.cli.options import required_config_option
from streamwatch.clock import SystemClock
from streamwatch.config.loading import load_config
from streamwatch.config.schema import Config
from streamwatch.config.units import parse_duration_s
from streamwatch.documents import event_document
from streamwatch.enums import Severity
from streamwatch.errors import StreamwatchError
from streamwatch.evidence.layout import KINDS, evidence_of, path_of
from streamwatch.evidence.manifest import check_manifest
from streamwatch.files import replaced_text
from streamwatch.records import Event
from streamwatch.store.event_store import EventQuery, EventStore
from streamwatch.store.export import stored_document, write_events
from streamwatch.store.sessions import database_of, require_database

PAGE = 1000


class Moment(click.ParamType[float]):
    """A time: how long ago (2h, 7d), or ISO 8601 (2026-01-31, 2026-01-31T12:00Z); as Unix seconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Text to Unix seconds; a time without a zone is UTC."""
        if isinstance(value, float):
            return value
        try:
            return SystemClock().wall_s() - parse_duration_s(value)
        except ValueError:
            pass
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is neither a duration like 2h nor a time like 2026-01-31T12:00Z", param, ctx)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")


def query_options(function: Any) -> Any:
    """What narrows the events down."""
    options: tuple[Callable[[Any], Any], ...] = (
        click.option("--label", type=click.Choice(["normal", "anomaly"]), help="Only what was labelled so."),
        click.option("--open", "only_open", is_flag=True, help="Only events that are open."),
        click.option(
            "--severity", type=click.Choice([str(severity) for severity in Severity]), help="Only events of this severity."
        ),
        click.option("--until", type=Moment(), help="Only events that began before then."),
        click.option("--since", type=Moment(), help="Only events that began since then: 2h, 7d or 2026-01-31T12:00Z."),
        click.option("--camera", help="Only this camera's."),
    )
    for option in options:
        function = option(function)
    return function


@click.group("events")
def command() -> None:
    """List, show, export and label events."""


@command.command("list")
@required_config_option
@query_options
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="At most so many, the newest.")
@json_option
def list_events(config_path: Path, limit: int, as_json: bool, **asked: Any) -> None:
    """List events, the newest first."""
    with _store(load_config(config_path)) as store:
        found = store.list_events(_query(limit, asked))
    if as_json:
        click.echo(json.dumps({"events": [stored_document(event) for event in found]}))
    elif found:
        Console(width=None if sys.stdout.isatty() else 140).print(_table(found))
    else:
        click.echo("no events", err=True)


@command.command("show")
@required_config_option
@click.argument("event_id", metavar="ID")
@json_option
def show(config_path: Path, event_id: str, as_json: bool) -> None:
    """Show one event; ID may be shortened as long as it is one event's, or be `latest`."""
    config = load_config(config_path)
    with _store(config) as store:
        event = store.find(event_id)
    files = {kind: path for kind in KINDS if (path := path_of(config.data_dir, kind, event.id)).is_file()}
    snapshot = files.get("snapshots")
    evidence = {kind: str(path) for kind, path in files.items()}
    document = {**stored_document(event), "snapshot": str(snapshot) if snapshot else None, "evidence": evidence}
    if as_json:
        click.echo(json.dumps(document))
        return
    for name, value in document.items():
        click.echo(f"{name:>16}: {_text_of(name, value)}")


def _text_of(name: str, value: Any) -> str:
    """A value of an event's document for people."""
    if value in (None, {}, []):
        return "-"
    if name == "fields":
        return ", ".join(f"{field} {level:g}" for field, level in value.items())
    if name == "evidence":
        return ", ".join(value)
    if name == "levels":
        texts = ("{level} {share:.0%} ({squared:.0f}, normally {normal[0]:.0f} to {normal[1]:.0f})".format(**v) for v in value)
        return ", ".join(texts)
    return str(value)


@command.command("export")
@required_config_option
@query_options
@click.option("--format", "form", type=click.Choice(["csv", "json"]), default="csv", show_default=True, help="Of the file.")
@click.option("--out", type=click.Path(path_type=Path), help="Write here; without it, on stdout.")
def export(config_path: Path, form: str, out: Path | None, **asked: Any) -> None:
    """Export all events that are asked for, the oldest last; retention keeps what was exported."""
    with _store(load_config(config_path)) as store:
        query = _query(PAGE, asked)
        if out is None:
            written = write_events(store, query, form, sys.stdout)
        else:
            with replaced_text(out) as file:
                written = write_events(store, query, form, file)
            click.echo(f"{out}: {len(written)} events", err=True)
        store.mark_exported(written)


@command.command("verify")
@required_config_option
def verify(config_path: Path) -> None:
    """Check that every file of evidence belongs to an event and is as it was written; exits with 1 if one is not."""
    config = load_config(config_path)
    with _store(config) as store:
        files = evidence_of(config.data_dir)
        known = store.known(sorted(files))
    orphans = [path for event_id, paths in sorted(files.items()) if event_id not in known for path in paths]
    wrong = [fault for event_id in sorted(known) for fault in check_manifest(config.data_dir, event_id)]
    for fault in [*(f"{path}: no event" for path in orphans), *wrong]:
        click.echo(fault)
    count = sum(map(len, files.values()))
    if orphans or wrong:
        text = f"of {count} files {len(orphans)} belong to no event, and {len(wrong)} are not as they were written"
        raise StreamwatchError(text, hint="the daemon removes files of no event after an hour")
    click.echo(f"{count} files, each of an event and as it was written")


@command.command("label")
@required_config_option
@click.argument("event_id", metavar="ID")
@click.argument("label", type=click.Choice(["normal", "anomaly", "none"]))
def label_event(config_path: Path, event_id: str, label: str) -> None:
    """Say what an event was; none takes it back. ID may be shortened, or be `latest`.

    The label is kept with the event and exported with it. What is called normal is taught to the camera's model: the same
    thing in the same place raises no alarm again. Anything else takes that back.
    """
    config = load_config(config_path)
    with _store(config) as store:
        event = store.find(event_id)
        # Here, because this command alone of its group needs torch.
        learned = importlib.import_module("streamwatch.cli.teaching").teach(config, event, label)
        store.label(event.id, None if label == "none" else label)
    click.echo(f"{event.id}: {label}{learned}")


@contextmanager
def _store(config: Config) -> Iterator[EventStore]:
    """The configuration's events; never makes a database where there is none."""
    require_database(config)
    with database_of(config) as database:
        yield EventStore(database)


def _query(limit: int, asked: dict[str, Any]) -> EventQuery:
    return EventQuery(
        camera=asked["camera"],
        severity=asked["severity"],
        since_s=asked["since"],
        until_s=asked["until"],
        state="open" if asked["only_open"] else None,
        label=asked["label"],
        limit=limit,
    )


def _table(found: list[Event]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("id", "camera", "started", "lasted", "peak / threshold", "severity", "ended", "label"):
        table.add_column(heading, justify="right" if heading in ("lasted", "peak / threshold") else "left", no_wrap=True)
    for event in found:
        document = event_document(event)
        where = f"{event.camera}/{event.zone}" if event.zone else event.camera
        lasted = "-" if event.end_wall_s is None else f"{event.end_wall_s - event.start_wall_s:.1f} s"
        severity = event.severity + (" (provisional)" if event.provisional else "")
        ratio = f"{event.peak.score:.2f} / {event.start_threshold:.2f}"
        started = str(document["start"])[:19].replace("T", " ")
        table.add_row(event.id, where, started, lasted, ratio, severity, event.reason or "open", event.label or "")
    return table
