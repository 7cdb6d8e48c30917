"""The pages in docs/ say what the code does; examples in them run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from streamwatch.config.models import Config
from tests.conftest import REPOSITORY
from tests.documentation import PAGES, TYPES, _models_in

LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
DOCUMENTS = sorted([*(REPOSITORY / "docs").glob("*.md"), REPOSITORY / "README.md", REPOSITORY / "deploy/README.md"])


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_is_what_the_code_says(name: str) -> None:
    assert (REPOSITORY / "docs" / name).read_text() == PAGES[name](), "run `make docs`"


def models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for field in model.model_fields.values():
        for inner in _models_in(field.annotation):
            yield from models(inner)


def test_every_key_is_described() -> None:
    silent = [
        f"{model.__name__}.{name}"
        for model in models(Config)
        for name, field in model.model_fields.items()
        if not field.description and not list(_models_in(field.annotation)) and model.__name__ != "CameraConfig"
    ]
    assert silent == []


def test_every_type_of_message_is_described() -> None:
    pattern = json.loads((REPOSITORY / "configs/message.schema.json").read_text())["properties"]["type"]["pattern"]
    assert all(re.match(pattern, f"streamwatch.{name}") for name in TYPES)
    kinds = re.findall(r"(\w+)\\\.\(([\w|]+)\)", pattern)
    assert {f"{group}.{name}" for group, names in kinds for name in names.split("|")} == set(TYPES)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    page = path
    dead = [
        target
        for target in LINK.findall(page.read_text())
        if not target.startswith(("http://", "https://")) and not (page.parent / target).exists()
    ]
    assert dead == []
