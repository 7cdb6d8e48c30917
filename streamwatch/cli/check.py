"""`streamwatch check`: is a configuration file right?"""

from __future__ import annotations

from pathlib import Path

import click

from streamwatch.alerts.endpoints import webhook_of
from streamwatch.clock import SystemClock
from streamwatch.config.loading import load_config
from streamwatch.config.schema import Config
from streamwatch.errors import ConfigError, SourceError, StreamwatchError


@click.command("check")
@click.argument("config_path", metavar="CONFIG", type=click.Path(path_type=Path))
@click.option("--probe", "probe_sources", is_flag=True, help="Open each camera's source once.")
def command(config_path: Path, probe_sources: bool) -> None:
    """Check CONFIG; exit 0 if it is right, 2 if not."""
    try:
        config = load_config(config_path)
    except ConfigError as error:
        for problem in error.problems[:-1]:
            click.echo(f"error: {problem}", err=True)
        raise ConfigError(error.problems[-1]) from None
    for webhook in config.alerts.webhooks:
        webhook_of(webhook, SystemClock()).close()  # raises for a secret or a template that is none
    if probe_sources:
        _probe_all(config)
    click.echo(f"{config_path}: ok, {len(config.cameras)} camera(s)")


def _probe_all(config: Config) -> None:
    failed: list[str] = []
    for name, camera in config.cameras.items():
        sources = (camera.source.get_secret_value(), *camera.normal)
        failed += [name for at, text in enumerate(sources) if not _opens(config, name, text, footage=at > 0)]
    if failed:
        raise SourceError(f"{len(failed)} source(s) cannot be opened: {', '.join(dict.fromkeys(failed))}")


def _opens(config: Config, camera: str, text: str, *, footage: bool) -> bool:
    """Open one source of a camera, the one that is watched or one that is learned from, and say what came of it."""
    from streamwatch.learning.footage import probe
    from streamwatch.video.sources import camera_source
    from streamwatch.video.streams.opener import PyAvOpener, stream_options

    settings = config.settings(camera)
    try:
        source = camera_source(text, settings, footage=footage)
        extent = probe(source, PyAvOpener(stream_options(settings)))
    except StreamwatchError as error:
        click.echo(f"camera {camera}: {error}", err=True)
        return False
    length = f", {extent.frames} frames declared" if extent.frames else ""
    click.echo(f"camera {camera}: {source.label}: opens{length}")
    for remark in extent.remarks:
        click.echo(f"camera {camera}: warning: {remark}", err=True)
    return True
