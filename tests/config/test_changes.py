"""What a changed configuration touches, key by key, and following a file."""

from __future__ import annotations

import contextlib
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from streamwatch.config.changes import ON_CAMERA_RELOAD, ConfigChange, Effect, compare, effect_of
from streamwatch.config.schema import CameraConfig, CameraDefaults, Config, MetricsConfig
from streamwatch.daemon.config_file import ConfigFile, ConfigFollower
from streamwatch.errors import ConfigError


def config(cameras: dict[str, dict[str, Any]], **more: Any) -> Config:
    named = {name: {"source": f"rtsp://h/{name}", **own} for name, own in cameras.items()}
    return Config.model_validate({"version": 1, "cameras": named, **more})


NOTHING = ConfigChange((), (), (), (), ())


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        (config({"a": {}, "b": {}}), NOTHING),
        (config({"a": {}}), ConfigChange(("b",), (), (), (), ())),
        (config({"a": {}, "b": {"enabled": False}}), ConfigChange(("b",), (), (), (), ())),
        (config({"a": {}, "b": {}, "c": {}}), ConfigChange((), ("c",), (), (), ())),
        (config({"a": {"threshold": 9}, "b": {}}), ConfigChange((), (), (), ("a",), ())),
        (config({"a": {"cooldown": "9s", "fps": 3}, "b": {}}), ConfigChange((), (), ("a",), (), ())),
        (config({"a": {"source": "rtsp://h/x"}, "b": {}}), ConfigChange((), (), ("a",), (), ())),
        (config({"a": {}, "b": {}}, defaults={"end_delay": "9s"}), ConfigChange((), (), (), ("a", "b"), ())),
        (config({"a": {}, "b": {}}, device="cpu"), ConfigChange((), (), (), (), ("device",))),
    ],
)
def test_only_what_changed_is_touched(new: Config, expected: ConfigChange) -> None:
    assert compare(config({"a": {}, "b": {}}), new) == expected


def test_a_file_is_read_again_when_it_changes_or_when_asked(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("version: 1\ncameras:\n  a: {source: rtsp://h/a}\n")
    follower = ConfigFollower(ConfigFile(path))
    assert follower.poll() is None
    follower.ask()
    assert isinstance(follower.poll(), Config)
    assert follower.poll() is None
    path.write_text("version: 1\ncameras:\n  a: {source: rtsp://h/a, fps: many}\n")
    assert isinstance(follower.poll(), ConfigError)
    assert follower.poll() is None, "the same fault is said once"
    path.unlink()
    assert follower.poll() is None, "an editor replaces the file: it is away for a moment"
    follower.ask()
    assert isinstance(follower.poll(), ConfigError)
    assert ConfigFollower(None).poll() is None


def test_a_replaced_model_restarts_its_camera_and_is_not_only_retuned() -> None:
    change = ConfigChange(removed=("r",), added=("a",), restarted=("s",), retuned=("t", "u"), needs_restart=())
    with_models = change.with_models(["r", "a", "s", "t", "x"])
    assert with_models.restarted == ("s", "t", "x")
    assert with_models.retuned == ("u",)
    assert with_models.remodelled == ("s", "t", "x")


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from models_in(argument)


def leaves(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every key path of a configuration but those of cameras and defaults; of lists, the list."""
    for name, field in model.model_fields.items():
        inner = list(models_in(field.annotation))
        path = f"{prefix}{name}"
        if path in ("cameras", "defaults"):
            continue
        if inner and typing.get_origin(field.annotation) not in (tuple, dict):
            yield from leaves(inner[0], f"{path}.")
        else:
            yield path, field


LEAVES = dict(leaves(Config))
BY_HAND: dict[str, Any] = {
    "version": None,  # there is one
    "device": "cuda:7",
    "database": SecretStr("postgresql://h/d"),
    "shared_models": SecretStr("/srv/models"),
    "backbone.dims": 7,
    "alerts.webhooks": [{"name": "ops", "url": "https://example.org"}],
    "alerts.mqtt.discovery": "other",
    "alerts.mqtt.url": "mqtts://other",
    "metrics.listen": "127.0.0.1:1",
    "web.listen": "127.0.0.1:1",
    "web.public_url": "https://example.org",
    "web.peer_url": "https://watch-1.example.org",
    "web.proxy.header": "X-User",
    "web.proxy.role": "admin",
    "web.proxy.networks": ["10.0.0.0/8"],
    "web.tls.certificate": "c.pem",
    "web.tls.key": "k.pem",
    "update_at": "04:30",
    "source": "rtsp://h/other",
    "normal": ["other.mp4"],
    "ignore": [[[0, 0], [1, 0], [1, 1]]],
    "privacy": [[[0, 0], [1, 0], [1, 1]]],
    "zones": {"gate": {"polygon": [[0, 0], [1, 0], [1, 1]]}},
    "threshold": 7.0,
    "stream": 1,
    "schedule": ["Mon 00:00-01:00"],
    "retention.min_free": "7%",
    "health.ready_share": "7%",
}


def another(path: str, field: FieldInfo, value: Any, place: str) -> Config:
    """The whole configuration with another value than ``value``: by hand, else the first that is valid there."""
    if path in BY_HAND:
        candidates: list[Any] = [BY_HAND[path]]
    elif isinstance(value, bool):
        candidates = [not value]
    else:
        choices = [c for part in (field.annotation, *typing.get_args(field.annotation)) for c in _choices(part)]
        numbers = [value + 1, "1500ms", "1.5/day", "7MB"] if isinstance(value, int | float) else []
        candidates = [*(choice for choice in choices if choice != value), *numbers, f"{value}x", ["camera.*"]]
    for candidate in candidates:
        with contextlib.suppress(ValidationError):
            return Config.model_validate(with_changed(WHOLE, place, candidate))
    raise AssertionError(f"no other value of {path} is known")


def _choices(annotation: Any) -> tuple[Any, ...]:
    return typing.get_args(annotation) if typing.get_origin(annotation) is Literal else ()


WHOLE: dict[str, Any] = {
    "version": 1,
    "alerts": {"mqtt": {"url": "mqtt://broker"}},
    "web": {"tls": {"certificate": "a", "key": "b"}, "proxy": {}},
    "cameras": {"a": {"source": "rtsp://h/a"}, "b": {"source": "rtsp://h/b"}},
}


def with_changed(document: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    head, _, rest = path.partition(".")
    return {**document, head: with_changed(document.get(head, {}), rest, value) if rest else value}


@pytest.mark.parametrize("path", [path for path in LEAVES if path != "version"])
def test_a_reload_does_with_every_key_what_the_table_says(path: str) -> None:
    old = Config.model_validate(WHOLE)
    value: Any = old
    for name in path.split("."):
        value = getattr(value, name)
    change = compare(old, another(path, LEAVES[path], value, path))
    effect = effect_of(path)
    assert effect is not Effect.CAMERA
    assert change.needs_restart == ((path,) if effect is Effect.RESTART else ())
    assert change.live == ((path,) if effect is Effect.LIVE else ())
    assert (change.added, change.removed, change.restarted, change.retuned) == ((), (), (), ())


def test_the_table_of_cameras_keys_is_complete_and_has_no_other() -> None:
    assert set(ON_CAMERA_RELOAD) == set(CameraConfig.model_fields) | set(CameraDefaults.model_fields)
    assert effect_of("version") is Effect.RESTART
    with pytest.raises(KeyError):
        effect_of("unheard_of")


@pytest.mark.parametrize("key", [key for key in ON_CAMERA_RELOAD if key != "enabled"])
def test_a_reload_does_with_every_key_of_a_camera_what_the_table_says(key: str) -> None:
    old = Config.model_validate(WHOLE)
    field = (CameraDefaults if key in CameraDefaults.model_fields else CameraConfig).model_fields[key]
    value = getattr(old.settings("a"), key, None) if key in CameraDefaults.model_fields else getattr(old.cameras["a"], key)
    alone = compare(old, another(key, field, value, f"cameras.a.{key}"))
    effect = ON_CAMERA_RELOAD[key]
    assert alone.restarted == (("a",) if effect is Effect.CAMERA else ())
    assert alone.retuned == (("a",) if effect is Effect.LIVE else ())
    assert (alone.added, alone.removed, alone.needs_restart, alone.live) == ((), (), (), ())
    if key in CameraDefaults.model_fields:
        all_of_them = compare(old, another(key, field, value, f"defaults.{key}"))
        assert {*all_of_them.restarted, *all_of_them.retuned} == {"a", "b"}


def test_what_the_command_line_says_holds_at_every_reading(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("version: 1\ncameras:\n  a: {source: rtsp://h/a}\n")
    file = ConfigFile(path, overrides={"metrics": MetricsConfig(listen="127.0.0.1:7")})
    first = file.load()
    path.write_text("version: 1\ncameras:\n  a: {source: rtsp://h/a, threshold: 3}\n")
    change = compare(first, file.load())
    assert (change.retuned, change.needs_restart) == (("a",), ())
