"""Configuration: every fault in one line that names file, line, key, value and rule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from streamwatch.config.loading import Secrets, load_config
from streamwatch.config.schema import CameraConfig, CameraDefaults, Config
from streamwatch.errors import ConfigError
from tests.conftest import REPOSITORY

MINIMAL = "version: 1\ncameras:\n  dock:\n    source: a.mp4\n"
NO_SECRETS = Secrets({}, ())


def load(tmp_path: Path, text: str, secrets: Secrets = NO_SECRETS) -> Config:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    return load_config(path, secrets)


def fault(tmp_path: Path, text: str, secrets: Secrets = NO_SECRETS) -> str:
    with pytest.raises(ConfigError) as info:
        load(tmp_path, text, secrets)
    assert info.value.exit_code == 2
    assert "\n" not in str(info.value)
    return str(info.value).replace(str(tmp_path) + "/", "")


def test_the_smallest_file(tmp_path: Path) -> None:
    config = load(tmp_path, MINIMAL)
    assert config.settings("dock").fps == 5
    assert config.model_path("dock") == Path("streamwatch-data/models/dock.safetensors")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("colour: red\n" + MINIMAL, "c.yaml:1: colour = 'red': unknown key"),
        (MINIMAL + "    fpss: 3\n", "c.yaml:5: cameras.dock.fpss = '3': unknown key"),
        (MINIMAL + "    password: hunter2\n", "c.yaml:5: cameras.dock.password: unknown key"),
        (MINIMAL + "    fps: quick\n", "c.yaml:5: cameras.dock.fps = 'quick': "),
        (MINIMAL + "    threshold: high\n", "c.yaml:5: cameras.dock.threshold = 'high': "),
        (MINIMAL + "    min_duration: 3\n", "c.yaml:5: cameras.dock.min_duration = '3': must be a duration with a unit"),
        (MINIMAL + "    ignore: [[[0, 0], [1.2, 0], [1, 1]]]\n", "c.yaml:5: cameras.dock.ignore[0][1][0] = '1.2': "),
        (MINIMAL + "    ignore: [[[0, 0], [1, 0]]]\n", "c.yaml:5: cameras.dock.ignore[0]: "),
        (MINIMAL + "    source: b.mp4\n", "c.yaml:5: cameras.dock.source = 'b.mp4': the key occurs twice"),
        ("version: 2\n" + MINIMAL[11:], "c.yaml:1: version = '2': "),
        ("version: 1\ncameras: {}\n", "c.yaml:2: cameras: "),
        ("version: 1\ncameras:\n  dock: {}\n", "c.yaml:3: cameras.dock.source: this key is required"),
        ("version: 1\ncameras:\n  'a b': {source: x}\n", "c.yaml:3: cameras.a b"),
        (MINIMAL + "metrics: {listen: 99}\n", "c.yaml:5: metrics.listen = '99': "),
        (MINIMAL + "retention: {min_free: 120%}\n", "c.yaml:5: retention.min_free = '120%': must be a percentage like 5%"),
        (MINIMAL + "defaults: {alarm_budget: often}\n", "must be a positive rate like 1/day"),
        (MINIMAL.replace("a.mp4", "${NOPE}"), "${NOPE} is neither in the environment nor in /run/secrets"),
        ("cameras: [\n", "not valid YAML"),
        ("just text\n", "must be a mapping"),
        ("", "must be a mapping"),
    ],
)
def test_each_fault_names_line_key_value_and_rule(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in fault(tmp_path, text)


def test_several_faults_are_counted_and_all_kept(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="and 1 more") as info:
        load(tmp_path, MINIMAL + "    fpss: 3\nwebb: 1\n")
    assert len(info.value.problems) == 2


def test_secrets_come_from_the_environment_or_a_file_and_are_not_shown(tmp_path: Path) -> None:
    (tmp_path / "FILE_SECRET").write_text("from-file\n")
    secrets = Secrets({"PASS": "hunter2"}, (tmp_path,))
    text = MINIMAL + "    normal: ['${FILE_SECRET}']\n    transport: ${PASS}\n"
    assert "hunter2" not in fault(tmp_path, text, secrets)
    config = load(tmp_path, MINIMAL.replace("a.mp4", "rtsp://u:${PASS}@h/"), secrets)
    assert config.cameras["dock"].source.get_secret_value() == "rtsp://u:hunter2@h/"
    assert "hunter2" not in repr(config) + str(config) + config.model_dump_json()


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such configuration file"):
        load_config(tmp_path / "none.yaml")


def test_camera_keys_override_defaults_one_by_one(tmp_path: Path) -> None:
    config = load(tmp_path, MINIMAL + "    fps: native\ndefaults: {fps: 2, cooldown: 1m}\n")
    settings = config.settings("dock")
    assert (settings.fps, settings.cooldown, settings.end_delay) == ("native", 60, 2)


def test_every_camera_default_may_stand_in_a_camera() -> None:
    assert set(CameraDefaults.model_fields) <= set(CameraConfig.model_fields)


def test_the_example_has_every_key_with_its_default() -> None:
    text = (REPOSITORY / "configs/example.yaml").read_text()
    config = load_config(REPOSITORY / "configs/example.yaml", NO_SECRETS)
    data: dict[str, Any] = yaml.safe_load(text)
    camera_only = set(CameraConfig.model_fields) - set(CameraDefaults.model_fields)
    assert set(data["cameras"]["loading-dock"]) == camera_only
    assert set(data["defaults"]) == set(CameraDefaults.model_fields)
    assert set(data) == set(Config.model_fields)
    for name, field in Config.model_fields.items():
        if name in ("cameras", "version"):
            continue
        value = getattr(config, name)
        assert value == field.get_default(), name
        if isinstance(value, BaseModel):
            assert set(data[name]) == set(type(value).model_fields), name
