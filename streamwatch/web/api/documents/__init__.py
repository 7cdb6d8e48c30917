"""What the API says and takes, each with an example."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from streamwatch.web.api.documents import cameras, common, deliveries, events, models, setup, system


def examples() -> Iterator[tuple[str, list[Any]]]:
    """Documents by name, with their examples."""
    for module in (common, cameras, models, events, deliveries, setup, system):
        for name, value in vars(module).items():
            if isinstance(value, type) and issubclass(value, BaseModel) and value is not BaseModel:
                yield name, value.model_json_schema()["examples"]
