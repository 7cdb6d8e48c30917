"""`streamwatch token`: who may use page and API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from streamwatch.cli.options import required_config_option
from streamwatch.clock import SystemClock
from streamwatch.config.loading import load_config
from streamwatch.documents import iso_time
from streamwatch.enums import Role
from streamwatch.errors import UsageError
from streamwatch.store.access import AccessStore, Token
from streamwatch.store.sessions import database_of

MAX_NAME = 63


@contextmanager
def _access(config_path: Path) -> Iterator[AccessStore]:
    with database_of(load_config(config_path)) as database:
        yield AccessStore(database)


@click.group("token")
def command() -> None:
    """Make, list and revoke tokens for page and API."""


@command.command("create")
@click.argument("name")
@required_config_option
@click.option("--role", type=click.Choice([str(role) for role in Role]), required=True, help="What its holder may do.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def create(name: str, config_path: Path, role: str, as_json: bool) -> None:
    """Make a token for NAME and print it, this once: only a digest of it is kept.

    A viewer sees everything but the configuration and the audit log; an operator also labels, snoozes, replays and tests; an
    admin also sets cameras up and learns them.
    """
    if not 0 < len(name) <= MAX_NAME or not name.isprintable():
        raise UsageError(f"a name has 1 to {MAX_NAME} characters that can be printed", where=repr(name[:MAX_NAME]))
    with _access(config_path) as access:
        if any(token.name == name and token.revoked_wall_s is None for token in access.list_tokens()):
            raise UsageError(f"{name} has a token already", hint="revoke it, or give another name")
        text = access.create(name, Role(role), SystemClock().wall_s())
    click.echo(json.dumps({"name": name, "role": role, "token": text}) if as_json else text)


@command.command("list")
@required_config_option
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def list_tokens(config_path: Path, as_json: bool) -> None:
    """Print the tokens that were made; not what they are."""
    with _access(config_path) as access:
        found = access.list_tokens()
    if as_json:
        click.echo(json.dumps([_document(token) for token in found]))
        return
    for token in found:
        state = f"revoked {iso_time(token.revoked_wall_s)}" if token.revoked_wall_s else _used(token)
        click.echo(f"{token.id}  {token.role:8}  {token.name}  made {iso_time(token.created_wall_s)}, {state}")
    if not found:
        click.echo("no tokens", err=True)


@command.command("revoke")
@click.argument("token", metavar="NAME|ID")
@required_config_option
def revoke(token: str, config_path: Path) -> None:
    """Let a token hold no more, and whoever is logged in with it neither."""
    with _access(config_path) as access:
        found = [of for of in access.list_tokens() if token in (of.id, of.name) and of.revoked_wall_s is None]
        if not found:
            raise UsageError(f"no token {token!r} is in force", hint="`streamwatch token list` shows them")
        for of in found:
            access.revoke(of.id, SystemClock().wall_s())
    click.echo(f"{token}: revoked")


def _used(token: Token) -> str:
    return f"last used {iso_time(token.used_wall_s)}" if token.used_wall_s else "never used"


def _document(token: Token) -> dict[str, object]:
    times = {"created": token.created_wall_s, "used": token.used_wall_s, "revoked": token.revoked_wall_s}
    shown = {name: None if at_s is None else iso_time(at_s) for name, at_s in times.items()}
    return {"id": token.id, "name": token.name, "role": token.role, **shown}
