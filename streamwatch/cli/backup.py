"""`streamwatch backup`: a site in one file."""

from __future__ import annotations

from pathlib import Path

import click

from streamwatch.cli.options import required_config_option
from streamwatch.config.loading import load_config
from streamwatch.errors import UsageError
from streamwatch.evidence.backup import write_backup


@click.command("backup")
@required_config_option
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False), metavar="OUT.tar")
@click.option("--no-evidence", is_flag=True, help="Leave pictures, maps and clips of events out.")
def command(config_path: Path, out: Path, no_evidence: bool) -> None:
    """Write models, events, labels, evidence and the configuration to one file; a daemon may go on meanwhile.

    The configuration is in it as it is written: a password that stands in it, and not as ${NAME}, is in the backup too.
    """
    if out.exists():
        raise UsageError("exists already", where=out, hint="name another file")
    config = load_config(config_path)
    contents = write_backup(config, config_path, out, evidence=not no_evidence)
    click.echo(f"{out}: {contents.files} files, {contents.bytes / 1e6:.1f} MB")
    if config.database is not None:
        click.echo("note: the events are in a database of its own, which is not in this backup", err=True)
