"""`streamwatch run`: the daemon."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from streamwatch.cli.options import Duration, print_error, required_config_option, warn_if_untrained
from streamwatch.config.schema import Config, MetricsConfig
from streamwatch.config.sharding import PlacedShare, Shard, Share
from streamwatch.daemon.assembly import Surroundings
from streamwatch.daemon.config_file import ConfigFile
from streamwatch.daemon.process.signals import starting
from streamwatch.daemon.service import RunResult, Service
from streamwatch.detection.publisher import Subscribers
from streamwatch.documents import change_document, notice_document
from streamwatch.errors import StreamwatchError, UsageError
from streamwatch.logs import CLOSE_S, set_level, written_behind
from streamwatch.logs.line_writer import LineWriter, writing_to
from streamwatch.records import EventChange, Notice
from streamwatch.scenes.shared_models.use import fetch


@click.command("run")
@required_config_option
@click.option("--until-eof", is_flag=True, help="Read files unpaced, drop nothing, exit when all have ended.")
@click.option("--drain", "drain_s", type=Duration(), help="With --until-eof: deliver for so long at the end. [default: 180s]")
@click.option("--metrics-listen", metavar="HOST:PORT", help="Where /metrics, /healthz and /readyz are, whatever the file says.")
@click.option("--shard", metavar="K/N", envvar="STREAMWATCH_SHARD", help="Take only this process's share of the cameras: 0/3.")
@click.option(
    "--placement",
    type=click.Path(path_type=Path),
    help='Take only the cameras of this file, {"cameras": [...]}, read again when it changes; `cluster run` writes it.',
)
def command(
    config_path: Path,
    until_eof: bool,
    drain_s: float | None,
    metrics_listen: str | None,
    shard: str | None,
    placement: Path | None,
) -> None:
    """Watch the cameras of a configuration; events are printed as JSON lines on stdout."""
    if drain_s is not None and not until_eof:
        raise UsageError("--drain needs --until-eof")
    overrides: dict[str, Any] = {} if drain_s is None else {"drain_timeout": drain_s}
    overrides |= {} if metrics_listen is None else {"metrics": _metrics_at(metrics_listen)}
    with starting() as reload_asked:
        _run(ConfigFile(config_path, _share(shard, placement), overrides), reload_asked, until_eof=until_eof)


def _share(shard: str | None, placement: Path | None) -> Share | None:
    if shard and placement:
        raise UsageError("--shard and --placement both say which cameras", hint="give one of them")
    return Shard.parse(shard) if shard else PlacedShare(placement, fetch) if placement else None


def _run(file: ConfigFile, reload_asked: threading.Event, *, until_eof: bool) -> None:
    config = file.load()
    set_level(config.logging.level)
    if until_eof:  # whoever reads the events of recordings is waited for
        _warn(config, print_error)
        _report(_watch(file, config, Output(click.echo), reload_asked, until_eof=True), print_error)
        return
    with written_behind() as log_lines, _stdout_behind() as lines:
        _warn(config, log_lines.write)
        output = Output(lines.write, {"stdout": lines, "log": log_lines})
        _report(_watch(file, config, output, reload_asked, until_eof=False), log_lines.write)


def _warn(config: Config, print_line: Callable[[str], object]) -> None:
    warn_if_untrained(config.backbone.weights, print_line)


@dataclass(frozen=True)
class Output:
    """Where events are printed, and whose dropped lines are counted."""

    print_line: Callable[[str], object]
    writers: Mapping[str, LineWriter] = field(default_factory=dict)

    def dropped_lines(self) -> dict[str, int]:
        """Lines that nobody read in time, by stream."""
        return {stream: writer.dropped for stream, writer in self.writers.items()}

    def print_change(self, change: EventChange, snapshot: Path | None) -> None:
        """One line of JSON."""
        document = change_document(change)
        if snapshot is not None:
            document["snapshot"] = str(snapshot)
        self.print_line(json.dumps(document))

    def print_notice(self, notice: Notice) -> None:
        """One line of JSON."""
        self.print_line(json.dumps(notice_document(notice)))


@contextmanager
def _stdout_behind() -> Iterator[LineWriter]:
    lines = LineWriter("stdout", writing_to(sys.stdout))
    try:
        yield lines
    finally:
        lines.close(CLOSE_S)


def _watch(file: ConfigFile, config: Config, output: Output, reload_asked: threading.Event, *, until_eof: bool) -> RunResult:
    subscribers = Subscribers((output.print_change,), (output.print_notice,))
    if file.shard:
        taken = ", ".join(config.cameras) or "no camera"
        logging.getLogger("streamwatch").info("shard %s takes %s", file.shard.name, taken)
    around = Surroundings(subscribers, shard=file.shard, dropped_lines=output.dropped_lines)
    service = Service(config, until_eof=until_eof, config_file=file, surroundings=around)
    with service.handling_signals():
        if reload_asked.is_set():
            service.reload()
        return service.run()


def _metrics_at(address: str) -> MetricsConfig:
    try:
        return MetricsConfig(listen=address)
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise UsageError(f"--metrics-listen {address}: {reason}") from None


def _report(result: RunResult, print_line: Callable[[str], object]) -> None:
    for camera, received in result.received.items():
        print_line(f"camera {camera}: {received} frames received, {result.scored[camera]} scored")
    if result.failures and not result.stopped:
        camera, error = next(iter(result.failures.items()))
        raise StreamwatchError(f"camera {camera} failed ({error})", hint="the other cameras were watched to their end")
