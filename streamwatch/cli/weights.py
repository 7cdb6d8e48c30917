"""`streamwatch weights`: pretrained weights, for sites with and without a network."""

from __future__ import annotations

import json
from pathlib import Path

import click

from streamwatch.errors import SourceNotFound
from streamwatch.model.embedding.backbone import ARCHITECTURES, Architecture, architecture
from streamwatch.model.embedding.weights import cached_file, fetch_default, load_backbone, verify_file_name_hash

_names = click.argument("names", nargs=-1, metavar="[BACKBONE]...")


@click.group("weights")
def command() -> None:
    """List, fetch and verify the default weights (torchvision's IMAGENET1K)."""


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def list_weights(as_json: bool) -> None:
    """List the supported backbones and whether their weights are in torchvision's cache."""
    rows = [_row(arch) for arch in ARCHITECTURES.values()]
    if as_json:
        click.echo(json.dumps(rows))
        return
    for row in rows:
        state = "cached" if row["cached"] else "not cached"
        click.echo(f"{row['backbone']:<16} {row['dims']:>4} dims  {state:<10}  {row['file']}")


@command.command("fetch")
@_names
def fetch_weights(names: tuple[str, ...]) -> None:
    """Download weights into torchvision's cache; all of them if none is named."""
    for arch in _architectures(names):
        click.echo(f"{arch.name}: {fetch_default(arch, progress=False)}")


@command.command("verify")
@_names
def verify_weights(names: tuple[str, ...]) -> None:
    """Check cached weights: the published hash, every tensor present, every value finite."""
    checked = [arch for arch in _architectures(names) if names or cached_file(arch).exists()]
    if not checked:
        raise SourceNotFound("no weights in the cache", where=cached_file(_architectures(())[0]).parent, hint="fetch them")
    for arch in checked:
        path = cached_file(arch)
        if not path.exists():
            raise SourceNotFound("not in the cache", where=path, hint=f"run `streamwatch weights fetch {arch.name}`")
        sha256 = verify_file_name_hash(path)
        load_backbone(arch, str(path), seed=0)
        click.echo(f"{arch.name}: ok, sha256 {sha256}")


def _architectures(names: tuple[str, ...]) -> list[Architecture]:
    return [architecture(name) for name in names] if names else list(ARCHITECTURES.values())


def _row(arch: Architecture) -> dict[str, str | int | bool]:
    path: Path = cached_file(arch)
    return {"backbone": arch.name, "dims": arch.default_dims, "cached": path.exists(), "file": str(path)}
