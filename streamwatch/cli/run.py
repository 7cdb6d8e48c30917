"""`streamwatch run`: the daemon."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from streamwatch.cli.options import Duration, required_config_option, warn_if_untrained, warn_of_inert_keys
from streamwatch.config.schema import MetricsConfig
from streamwatch.config.sharding import Shard
from streamwatch.daemon.assembly import Surroundings
from streamwatch.daemon.config_file import ConfigFile
from streamwatch.daemon.service import RunResult, Service
from streamwatch.detection.publisher import Subscribers
from streamwatch.documents import change_document, notice_document
from streamwatch.errors import StreamwatchError, UsageError
from streamwatch.logs import set_level
from streamwatch.records import EventChange, Notice


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
    overrides: dict[str, Any] = {} if drain_s is None else {"drain_timeout": drain_s}
    overrides |= {} if metrics_listen is None else {"metrics": _metrics_at(metrics_listen)}
    file = ConfigFile(config_path, Shard.parse(shard) if shard else None, overrides)
    config = file.load()
    set_level(config.logging.level)
    warn_of_inert_keys(config)
    if file.shard:
        logging.getLogger("streamwatch").info("shard %s takes %s", shard, ", ".join(config.cameras) or "no camera")
    warn_if_untrained(config.backbone.weights)
    around = Surroundings(Subscribers((_print_change,), (_print_notice,)), sharded=file.shard is not None)
    service = Service(config, until_eof=until_eof, config_file=file, surroundings=around)
    with service.handling_signals():
        result = service.run()
    _report(result)


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


def _report(result: RunResult) -> None:
    for camera, received in result.received.items():
        click.echo(f"camera {camera}: {received} frames received, {result.scored[camera]} scored", err=True)
    if result.failures and not result.stopped:
        camera, error = next(iter(result.failures.items()))
        raise StreamwatchError(f"camera {camera} failed ({error})", hint="the other cameras were watched to their end")
