"""`streamwatch alerts`: what waits to be delivered, what became of it, and sending it again."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from streamwatch.alerts.endpoints import Site, send_test, senders_of, webhook_named
from streamwatch.alerts.present import PresentState
from streamwatch.alerts.sender import run_all
from streamwatch.cli.options import required_config_option
from streamwatch.clock import SystemClock
from streamwatch.config.loading import load_config
from streamwatch.config.schema import Config
from streamwatch.documents import iso_time
from streamwatch.enums import MessageState
from streamwatch.errors import UsageError
from streamwatch.store.outbox.administration import OutboxAdministration
from streamwatch.store.outbox.leases import Outbox
from streamwatch.store.outbox.messages import Message
from streamwatch.store.sessions import database_of
from streamwatch.threads import ThreadGuard


@contextmanager
def _outbox(config_path: Path) -> Iterator[tuple[Config, OutboxAdministration]]:
    config = load_config(config_path)
    with database_of(config) as engine:
        yield config, OutboxAdministration(engine)


@click.group("alerts")
def command() -> None:
    """List, show, replay and test deliveries."""


@command.command("list")
@required_config_option
@click.option("--state", type=click.Choice([str(state) for state in MessageState]), help="Only these.")
@click.option("--endpoint", help="Only this endpoint's.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="The newest so many.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def list_messages(config_path: Path, state: str | None, endpoint: str | None, limit: int, as_json: bool) -> None:
    """Print messages, the newest first, and what waits for each endpoint."""
    with _outbox(config_path) as (_, outbox):
        found, depths, disabled = (
            outbox.list_messages(state=state, endpoint=endpoint, limit=limit),
            outbox.depths(),
            outbox.disabled(),
        )
    if as_json:
        waiting = {name: asdict(depth) for name, depth in depths.items()}
        click.echo(json.dumps({"messages": [_document(m) for m in found], "endpoints": waiting, "disabled": disabled}))
        return
    for message in found:
        click.echo(_line(message))
    for name, depth in sorted(depths.items()):
        since = f", the oldest since {iso_time(depth.oldest_wall_s)}" if depth.oldest_wall_s else ""
        click.echo(f"{name}: {depth.pending} pending{since}, {depth.dead} dead")
    for name, reason in sorted(disabled.items()):
        click.echo(f"{name}: switched off, {reason}; `streamwatch alerts enable {name}`")


@command.command("show")
@click.argument("number", type=int)
@required_config_option
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def show(number: int, config_path: Path, as_json: bool) -> None:
    """Print a message and every attempt at it."""
    with _outbox(config_path) as (_, outbox):
        message, attempts = outbox.find(number), outbox.attempts_of(number)
    if as_json:
        click.echo(json.dumps({**_document(message), "content": message.content, "tries": [asdict(a) for a in attempts]}))
        return
    click.echo(_line(message))
    for attempt in attempts:
        text = attempt.error or f"HTTP {attempt.status}"
        click.echo(f"  {iso_time(attempt.at_wall_s)}  {1000 * attempt.latency_s:6.0f} ms  {text}")
    click.echo(json.dumps(message.content, indent=2))


@command.command("replay")
@click.argument("numbers", type=int, nargs=-1)
@required_config_option
@click.option("--dead", is_flag=True, help="All that were given up.")
@click.option("--endpoint", help="With --dead: only this endpoint's.")
def replay(numbers: tuple[int, ...], config_path: Path, dead: bool, endpoint: str | None) -> None:
    """Send messages again, with the ids that they had."""
    if bool(numbers) == dead:
        raise UsageError("give either NUMBERS or --dead", hint="`streamwatch alerts list --state dead` shows them")
    with _outbox(config_path) as (_, outbox):
        for number in numbers:
            outbox.find(number)
        chosen = list(numbers) or [
            m.number for m in outbox.list_messages(state=MessageState.DEAD, endpoint=endpoint, limit=1_000_000)
        ]
        count = outbox.replay(chosen, now_s=SystemClock().wall_s())
    click.echo(f"{count} messages wait to be sent again")


@command.command("enable")
@click.argument("endpoint")
@required_config_option
def enable(endpoint: str, config_path: Path) -> None:
    """Let ENDPOINT have messages again, after it answered 410 Gone."""
    with _outbox(config_path) as (config, outbox):
        webhook_named(config.alerts, endpoint)
        was_off = outbox.enable(endpoint)
    click.echo(f"{endpoint}: switched on" if was_off else f"{endpoint}: was not switched off")


@command.command("test")
@click.argument("endpoint")
@required_config_option
def test(endpoint: str, config_path: Path) -> None:
    """Send ENDPOINT a test message now, signed and in its format; nothing is stored."""
    status = send_test(load_config(config_path).alerts, endpoint, SystemClock())
    click.echo(f"{endpoint}: HTTP {status}")


@command.command("send")
@required_config_option
@click.option("--until-empty", is_flag=True, help="Exit when nothing waits any more.")
def send(config_path: Path, until_empty: bool) -> None:
    """Deliver what waits, without the daemon: a sender of its own, beside it or in its place."""
    stop, clock = threading.Event(), SystemClock()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    config = load_config(config_path)
    with database_of(config) as engine:
        outbox = OutboxAdministration(engine)
        site = Site(config.enabled_cameras, PresentState())  # of which this process knows nothing: it publishes no states
        threads = run_all(senders_of(config.alerts, site, Outbox(engine), clock), stop, ThreadGuard(clock))
        while not clock.wait(stop, 0.2):
            if until_empty and not any(depth.pending for depth in outbox.depths().values()):
                stop.set()
        for thread in threads:
            thread.join()


def _line(message: Message) -> str:
    error = f"  {message.last_error}" if message.last_error else ""
    return (
        f"{message.number:6d}  {iso_time(message.created_wall_s)}  {message.endpoint}  {message.state}  {message.type}  "
        f"{message.camera}  {message.attempts} attempts{error}"
    )


def _document(message: Message) -> dict[str, Any]:
    document = asdict(message)
    del document["content"]
    return document
