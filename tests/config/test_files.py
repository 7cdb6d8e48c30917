"""The configurations that are shipped are valid, and editors are told of their schema."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streamwatch.config.loading import load_config
from streamwatch.config.schema import Config
from streamwatch.config.sharding import spread_of
from tests.conftest import REPOSITORY

FILES = sorted([*(REPOSITORY / "configs").glob("*.yaml"), *(REPOSITORY / "deploy").glob("*/streamwatch.yaml")])
SECRETS = ("DOOR_PASSWORD", "DOCK_PASSWORD", "CAMERA_PASSWORD", "DATABASE_PASSWORD", "HOOK_SECRET", "STC_ROOT", "MQTT_PASSWORD")


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRETS:
        monkeypatch.setenv(name, "c2VjcmV0LW9mLXRoZS10ZXN0cw==")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name + "-" + path.stem)
def test_a_shipped_configuration_is_valid(path: Path) -> None:
    config = load_config(path)
    assert config.cameras


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name + "-" + path.stem)
def test_editors_find_the_schema(path: Path) -> None:
    first = path.read_text().splitlines()[0]
    prefix = "# yaml-language-server: $schema="
    assert first.startswith(prefix)
    assert (path.parent / first.removeprefix(prefix)).is_file()


def test_the_schema_is_the_codes() -> None:
    assert json.loads((REPOSITORY / "configs/config.schema.json").read_text()) == Config.model_json_schema(), "run `make docs`"


def test_the_large_site_has_64_cameras_that_four_processes_share() -> None:
    config = load_config(REPOSITORY / "configs/site-64-cameras.yaml")
    assert len(config.enabled_cameras) == 64
    assert all(8 <= len(share) <= 24 for share in spread_of(config.enabled_cameras, 4))
