"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from streamwatch.config.schema import Config
from streamwatch.config.units import parse_duration_s
from streamwatch.errors import UsageError
from streamwatch.model.scoring.fusion import FEATURES

F = TypeVar("F", bound=Callable[..., Any])


class Duration(click.ParamType[float]):
    """A duration like 20m, in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Text to seconds."""
        try:
            return value if isinstance(value, float) else parse_duration_s(value)
        except ValueError as error:
            self.fail(f"{value!r} {error}", param, ctx)


config_option = click.option(
    "-c", "--config", "config_path", type=click.Path(path_type=Path), help="Configuration file (YAML)."
)
required_config_option = click.option(
    "-c", "--config", "config_path", type=click.Path(path_type=Path), required=True, help="Configuration file."
)
device_option = click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
precision_option = click.option(
    "--precision",
    type=click.Choice(["auto", "float32", "bf16", "fp16", "reference"]),
    default="auto",
    show_default=True,
    help="What the network computes in. auto: float32, and bf16 or fp16 for scoring where it is native and changes no map by "
    "more than 1 %; reference: float64.",
)
frame_rate_option = click.option(
    "--frame-rate",
    type=click.FloatRange(min=0, min_open=True),
    default=10.0,
    show_default=True,
    help="Frames per second of image folders, and of files without times and rate.",
)

address_option = click.option(
    "--address",
    default="auto",
    show_default=True,
    help="The Ray cluster: auto is the one that this machine is part of, local one of this machine alone; or HOST:PORT.",
)

features_option = click.option(
    "--features",
    type=click.Choice(FEATURES),
    help="What to learn: the look of each place, how fast things move there, or both.",
)


@dataclass(frozen=True)
class BackboneChoice:
    """Backbone options as given; None where an option was not."""

    name: str | None
    weights: str | None
    dims: int | None
    seed: int | None

    @property
    def given(self) -> list[str]:
        """The options that were given."""
        pairs = (("--backbone", self.name), ("--weights", self.weights), ("--dims", self.dims), ("--seed", self.seed))
        return [option for option, value in pairs if value is not None]


def backbone_options(function: F) -> F:
    """--backbone, --weights, --dims and --seed, wherever a model is made."""
    for option in (
        click.option("--seed", type=click.IntRange(min=0), help="Seed of the channel choice. [default: 1024]"),
        click.option("--dims", type=click.IntRange(min=1), help="Kept channels. [default: the paper's for the backbone]"),
        click.option("--weights", help="default, builtin, untrained or a FILE. [default: default]"),
        click.option(
            "--backbone",
            type=click.Choice(["resnet18", "wide_resnet50_2", "efficientnet_b5"]),
            help="Pretrained network. [default: resnet18]",
        ),
    ):
        function = option(function)
    return function


def require_camera(config: Config, camera: str) -> None:
    """Raises UsageError if the configuration has no such camera."""
    if camera not in config.cameras:
        raise UsageError(f"no camera {camera!r} in the configuration", hint=f"it has {', '.join(config.cameras)}")


def print_error(line: str) -> None:
    """A line on standard error."""
    click.echo(line, err=True)


def warn_if_untrained(weights: str, print_line: Callable[[str], object] = print_error) -> None:
    """Say plainly that a backbone is untrained."""
    if weights == "untrained":
        print_line("note: the backbone is UNTRAINED (seeded initialisation, no pretrained weights)")
