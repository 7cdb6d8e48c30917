"""`streamwatch run`: the daemon."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import click

from streamwatch.cli.options import Duration, note_if_untrained, required_config_option, warn_of_inert_keys
from streamwatch.config.loading import load_config
from streamwatch.errors import StreamwatchError, UsageError
from streamwatch.events.wire import change_document, notice_document
from streamwatch.records import EventChange, Notice
from streamwatch.service import Ears, Outcome, Service


@click.command("run")
@required_config_option
@click.option("--until-eof", is_flag=True, help="Read files unpaced, drop nothing, exit when all have ended.")
@click.option("--drain", "drain_s", type=Duration(), help="With --until-eof: deliver for so long at the end. [default: 180s]")
def command(config_path: Path, until_eof: bool, drain_s: float | None) -> None:
    """Watch the cameras of a configuration; events are printed as JSON lines on stdout."""
    if drain_s is not None and not until_eof:
        raise UsageError("--drain needs --until-eof")
    config = load_config(config_path)
    config = config if drain_s is None else config.model_copy(update={"drain_timeout": drain_s})
    logging.getLogger("streamwatch").setLevel(config.logging.level.upper())
    warn_of_inert_keys(config)
    note_if_untrained(config.backbone.weights)
    ears = Ears((_print_change,), (_print_notice,))
    service = Service(config, until_eof=until_eof, ears=ears, config_path=config_path)
    with service.handling_signals():
        outcome = service.run()
    _report(outcome)


def _print_change(change: EventChange, snapshot: Path | None) -> None:
    document = change_document(change)
    if snapshot is not None:
        document["snapshot"] = str(snapshot)
    click.echo(json.dumps(document))


def _print_notice(notice: Notice) -> None:
    click.echo(json.dumps(notice_document(notice)))


def _report(outcome: Outcome) -> None:
    for camera, received in outcome.received.items():
        click.echo(f"camera {camera}: {received} frames received, {outcome.scored[camera]} scored", err=True)
    if outcome.failures and not outcome.stopped:
        camera, error = next(iter(outcome.failures.items()))
        raise StreamwatchError(f"camera {camera} failed ({error})", hint="the other cameras were watched to their end")
