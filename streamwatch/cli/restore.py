"""`streamwatch restore`: a site from a backup."""

from __future__ import annotations

from pathlib import Path

import click

from streamwatch.evidence.backup import restore_backup


@click.command("restore")
@click.argument("archive", type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="BACKUP.tar")
@click.option("--to", "data_dir", type=click.Path(path_type=Path, file_okay=False), required=True, help="The new `data_dir`.")
@click.option("--config-out", type=click.Path(path_type=Path, dir_okay=False), help="Where to write the configuration.")
@click.option("--force", is_flag=True, help="Replace what is there.")
def command(archive: Path, data_dir: Path, config_out: Path | None, force: bool) -> None:
    """Put a backup's models, events and evidence into a data folder; stop the daemon that uses it first.

    What waited to be delivered when the backup was made is delivered by whoever runs on it: perhaps for a second time.
    """
    contents = restore_backup(archive, data_dir, config_out, force=force)
    click.echo(f"{data_dir}: {contents.files} files, {contents.bytes / 1e6:.1f} MB, each as it was")
    if config_out:
        click.echo(f"{config_out}: the configuration; set its `data_dir` to {data_dir}")
