"""`streamwatch run`: the daemon."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import click
from pydantic import ValidationError

from streamwatch.cli.options import Duration, note_if_untrained, required_config_option, warn_of_inert_keys
from streamwatch.config.models import MetricsConfig
from streamwatch.config.sharding import Shard
from streamwatch.errors import StreamwatchError, UsageError
from streamwatch.events.wire import change_document, notice_document
from streamwatch.records import EventChange, Notice
from streamwatch.runtime.reload import ConfigFile
from streamwatch.service import Ears, Outcome, Service


@click.command("run")
@required_config_option
@click.option("--until-eof", is_flag=True, help="Read files unpaced, drop nothing, exit when all have ended.")
@click.option("--drain", "drain_s", type=Duration(), help="With --until-eof: deliver for so long at the end. [default: 180s]")
@click.option("--metrics-listen", metavar="HOST:PORT", help="Where /metrics, /healthz and /readyz are, whatever the file says.")
@click.option("--shard", metavar="K/N", envvar="STREAMWATCH_SHARD", help="Take only this process's share of the cameras: 0/3.")
def command(config_path: Path, until_eof: bool, drain_s: float | None, metrics_listen: str | None, shard: str | None) -> None:
    """Watch the cameras of a configuration; events are printed as JSON lines on stdout."""
    if drain_s is not None and not until_eof:
        raise UsageError("--drain needs --until-eof")
    file = ConfigFile(config_path, Shard.parse(shard) if shard else None)
    config = file.load()
    config = config if drain_s is None else config.model_copy(update={"drain_timeout": drain_s})
    config = config if metrics_listen is None else config.model_copy(update={"metrics": _metrics_at(metrics_listen)})
    logging.getLogger("streamwatch").setLevel(config.logging.level.upper())
    warn_of_inert_keys(config)
    if file.shard:
        logging.getLogger("streamwatch").info("shard %s takes %s", shard, ", ".join(config.cameras) or "no camera")
    note_if_untrained(config.backbone.weights)
    ears = Ears((_print_change,), (_print_notice,))
    service = Service(config, until_eof=until_eof, ears=ears, config_file=file)
    with service.handling_signals():
        outcome = service.run()
    _report(outcome)


def _metrics_at(address: str) -> MetricsConfig:
    try:
        return MetricsConfig(listen=address)
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise UsageError(f"--metrics-listen {address}: {reason}") from None


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
