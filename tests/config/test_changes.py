"""What a changed configuration touches, and following a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from streamwatch.config.changes import ConfigChange, compare
from streamwatch.config.models import Config
from streamwatch.errors import ConfigError
from streamwatch.runtime.reload import ConfigFile, ConfigFollower


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
