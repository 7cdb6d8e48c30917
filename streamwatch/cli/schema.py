"""`streamwatch schema`: the JSON schema of the configuration."""

from __future__ import annotations

import json

import click

from streamwatch.config.schema import Config


@click.command("schema")
def command() -> None:
    """Print the JSON schema of the configuration file."""
    click.echo(json.dumps(Config.model_json_schema(), indent=2))
