"""The pages in docs/ say what the code does; examples in them run."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
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


RUNNABLE = re.compile(r"<!-- run(?:: (\S+))? -->\n```\w+\n(.*?)```", re.DOTALL)


@pytest.mark.slow(110)
@pytest.mark.timeout(600)
def test_blocks_that_are_marked_as_runnable_run(tmp_path: Path) -> None:
    """In their order, in an empty folder, as a new user would."""
    blocks = RUNNABLE.findall((REPOSITORY / "README.md").read_text())
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    commands = []
    for name, content in blocks:
        if name:
            (tmp_path / name).write_text(content)
            continue
        commands += content.splitlines()
        done = subprocess.run(
            ["/bin/sh", "-ec", content], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{content}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
    assert len(commands) >= 10
    assert len((tmp_path / "events.csv").read_text().splitlines()) == 4, "three things do not belong, and a head line"
    assert (tmp_path / "moved/models/square.safetensors").is_file()


def test_commands_in_the_pages_exist() -> None:
    """Every ``streamwatch COMMAND`` that a page shows, with the options that it shows."""
    for page in DOCUMENTS:
        for line in re.findall(r"^(?:\$ )?streamwatch (.*)$", page.read_text(), re.MULTILINE):
            words = line.split("#")[0].split("&&")[0].split()
            group = importlib.import_module(f"streamwatch.cli.{words[0]}").command
            known = {option for parameter in _parameters(group, words[1:]) for option in parameter.opts}
            assert {word for word in words if re.match(r"--?[a-z]", word)} <= known | {"--json"}, (page.name, line)


def _parameters(command: click.Command, words: list[str]) -> list[click.Parameter]:
    found = list(command.params)
    if isinstance(command, click.Group) and words and words[0] in command.commands:
        found += command.commands[words[0]].params
    return found
