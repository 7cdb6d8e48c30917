"""`streamwatch demo`: see it work, with no network, no file and no argument."""

from __future__ import annotations

import logging
import tempfile
import threading
from pathlib import Path

import click

from streamwatch.cli.progress import frame_progress
from streamwatch.clock import SystemClock
from streamwatch.config.schema import Config, WebConfig
from streamwatch.demo import show
from streamwatch.demo.comparison import compare_with_planted
from streamwatch.demo.rendering import FPS, NORMAL_S, PLANTED, WATCHED_S
from streamwatch.enums import EventType
from streamwatch.model.embedding.identity import resolve_device
from streamwatch.records import EventChange
from streamwatch.store.event_store import EventStore
from streamwatch.store.sessions import open_database
from streamwatch.threads import ThreadGuard
from streamwatch.web.access.policy import access_policy
from streamwatch.web.context import SiteContext, Stores
from streamwatch.web.server import WebServer
from streamwatch.web.site import build_site


@click.command("demo")
@click.option("--out", type=click.Path(path_type=Path), help="Folder to write to. [default: a new temporary folder]")
@click.option("--no-serve", is_flag=True, help="Exit at the end instead of serving the page.")
@click.option("--listen", default="127.0.0.1:8466", show_default=True, help="HOST:PORT of the page.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--render-only", type=click.Path(path_type=Path), help="Write its videos to this folder, and stop.")
def command(out: Path | None, no_serve: bool, listen: str, device: str, render_only: Path | None) -> None:
    """Render a scene, learn what is normal in it, then watch a day with three things that do not belong."""
    if render_only:
        show.render_videos(show.demo_config(render_only, device="cpu"))
        show.render_another(render_only)
        click.echo(
            f"{render_only}: normal.mp4, to learn from; another.mp4, as normal; today.mp4, with three things that are not"
        )
        return
    logging.getLogger("streamwatch").setLevel(logging.WARNING)
    resolve_device(device)
    folder = out or Path(tempfile.mkdtemp(prefix="streamwatch-demo-"))
    config = show.demo_config(folder, device=device)
    click.echo(f"1. Rendering a square: {NORMAL_S:.0f} s of normal life, and {WATCHED_S:.0f} s of today, into {folder}")
    show.render_videos(config)
    click.echo("2. Learning what is normal, from the first video alone (UNTRAINED resnet18: no pretrained weights needed)")
    with frame_progress("   learn", round(NORMAL_S * FPS)) as advance:
        frames = show.learn(config, SystemClock(), advance)
    click.echo(f"   {frames} frames learned")
    click.echo("3. Watching the second video, through the same path as `streamwatch run`")
    result = show.watch(config, _print_event)
    _print_verdict(result, folder)
    if not no_serve:
        _serve(config, listen)


def _print_event(change: EventChange, snapshot: Path | None) -> None:
    event = change.event
    if change.type != EventType.ANOMALY_ENDED or event.end_time_s is None:
        return
    cause = compare_with_planted([event], PLANTED).causes[0]
    truth = f"truly: {cause.cause} ({cause.start_s:.0f}-{cause.end_s:.0f} s)" if cause else "FALSE ALARM: nothing was planted"
    click.echo(
        f"   event {event.start_time_s:5.1f}-{event.end_time_s:5.1f} s  score {event.peak.score:5.1f}"
        f" (threshold {event.start_threshold:.1f})  {truth}"
    )
    if snapshot:
        click.echo(f"         heat map: {snapshot}")


def _print_verdict(result: show.Show, folder: Path) -> None:
    comparison = result.comparison
    found = len(PLANTED) - len(comparison.missed)
    click.echo(f"4. {found} of {len(PLANTED)} planted anomalies found, {comparison.false_alarms} false alarm(s)")
    for planted in comparison.missed:
        click.echo(f"   missed: {planted.cause} ({planted.start_s:.0f}-{planted.end_s:.0f} s)")
    click.echo(f"   videos, model, heat maps and events.db are in {folder}")


def _serve(config: Config, listen: str) -> None:
    database, clock = open_database(None, config.data_dir), SystemClock()
    store = EventStore(database)
    stores = Stores.of(database, store)
    context = SiteContext("streamwatch demo", lambda: config, config.data_dir, clock, stores, clock.wall_s())
    server = WebServer(build_site(context, access_policy(WebConfig(listen=listen))), listen)
    server.start(ThreadGuard(SystemClock()))
    click.echo(f"5. The page is at http://{listen}/ (Ctrl-C ends)")
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        pass
    finally:
        server.stop()
        store.close()
