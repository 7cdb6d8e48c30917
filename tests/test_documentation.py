"""The pages in docs/ say what the code does; examples in them run."""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml
from pydantic import BaseModel

from streamwatch.config.loading import load_config
from streamwatch.config.schema import Config
from tests.conftest import REPOSITORY
from tools.documentation import PAGES, TYPES, _models_in
from tools.documented import Block, DocumentationFault, Reader, blocks_of

LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
DOCUMENTS = sorted([*(REPOSITORY / "docs").rglob("*.md"), REPOSITORY / "README.md", REPOSITORY / "deploy/README.md"])


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


CITED = re.compile(r"docs/(?:decisions/)?[\w.-]+\.md")
MODULE = re.compile(r"`((?:streamwatch/|tests/|tools/|benchmarks/)?[a-z_/]+\.py)`")
SOURCES = [path for room in ("streamwatch", "tests", "tools", "benchmarks") for path in (REPOSITORY / room).rglob("*.py")]


def test_what_the_code_cites_is_there_and_ships() -> None:
    cited = {(path.name, name) for path in SOURCES for name in CITED.findall(path.read_text())}
    assert not [pair for pair in cited if not (REPOSITORY / pair[1]).is_file() and "tests/" not in pair[1]]
    unshipped = "DE" + "SIGN"  # the design that was before the decisions were written down
    assert not [path for path in (*SOURCES, *DOCUMENTS) if re.search(rf"\b{unshipped}\b", path.read_text())]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_modules_that_pages_name_are_there(path: Path) -> None:
    places = ("", "streamwatch/", "tests/", "docs/")
    named = [name for name in MODULE.findall(path.read_text()) if "/" in name]
    assert not [name for name in named if not any((REPOSITORY / place / name).exists() for place in places)]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    page = path
    dead = [
        target
        for target in LINK.findall(page.read_text())
        if not target.startswith(("http://", "https://")) and not (page.parent / target).exists()
    ]
    assert dead == []


STORY = ("README.md", "docs/alerts.md", "docs/operations.md")


@pytest.mark.slow(200)
@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_pages_commands_run(tmp_path: Path) -> None:
    """In their order, from an empty folder, as a new user would; what installs something is tools/clean_room.py's."""
    home = {"HOME": str(tmp_path), "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    with Reader(tmp_path, {**os.environ, **home}, clean_room=False) as reader:
        for page in STORY:
            for block in blocks_of(REPOSITORY / page):
                reader.follow(block)
        site = reader.here
    events = (site / "events.csv").read_text().splitlines()
    assert len(events) == 1 + 3, "three things do not belong, and a head line"
    assert (site / "moved/models/square.safetensors").is_file()
    received = (site / "received.txt").read_text().splitlines()
    assert [line for line in received if "system.test" in line]
    assert len([line for line in received if "anomaly.ended" in line]) >= 3


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_of_every_block_it_is_said_whether_it_runs(path: Path) -> None:
    blocks = list(blocks_of(path))
    assert path.name in {Path(page).name for page in STORY} or not [block for block in blocks if block.kind == "run"]


SETTINGS = [block for page in DOCUMENTS for block in blocks_of(page) if block.kind == "settings"]


@pytest.mark.parametrize("block", SETTINGS, ids=lambda block: f"{block.page}:{block.line}")
def test_settings_in_the_pages_are_accepted(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in re.findall(r"\$\{(\w+)\}", block.content):
        monkeypatch.setenv(name, "whsec_" + "c2VjcmV0" * 4)
    least = {"version": 1, "cameras": {"a": {"source": "rtsp://127.0.0.1/"}}}
    (tmp_path / "site.yaml").write_text(yaml.safe_dump(least | yaml.safe_load(block.content)))
    load_config(tmp_path / "site.yaml")


def test_a_block_of_which_nothing_is_said_is_a_fault(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    for comment in ("", "<!-- run it -->", "<!-- not run -->", "<!-- file -->"):
        page.write_text(f"{comment}\n```sh\ntrue\n```\n")
        with pytest.raises(DocumentationFault, match=r"page\.md:2"):
            list(blocks_of(page))


def test_a_block_that_fails_is_told_with_what_it_printed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- run -->\n```sh\nexport NAME=here\n```\n\n<!-- run -->\n```sh\necho $NAME\nfalse\n```\n")
    with Reader(tmp_path, dict(os.environ), clean_room=False) as reader:
        first, second = blocks_of(page)
        assert reader.follow(first)
        with pytest.raises(DocumentationFault, match=r"page\.md:8\n(.|\n)*\nhere\n(.|\n)*exit code 1"):
            reader.follow(second)


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
