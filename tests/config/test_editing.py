"""A configuration file is changed as a person would: what they wrote stays, and only what is asked for changes."""

from __future__ import annotations

import difflib
import stat
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml.comments import CommentedMap

from streamwatch.config.editing import ConfigEditor, FileChanged, edited, merge
from streamwatch.config.loading import load_config
from streamwatch.config.schema import Config
from streamwatch.errors import ConfigError, UsageError
from streamwatch.masking import SHOWN, mask_credentials
from tests.conftest import REPOSITORY

WRITTEN = """\
# Of the harbour, kept by the night watch.
version: 1
defaults: {fps: 2}   # slow is enough

cameras:
    # the north gate
    gate:
        source: 'rtsp://viewer:a-hidden-word@10.0.0.5/1'   # repaired in May
        zones:
            door:
                polygon: [[0.1, 0.1], [0.2, 0.1], [0.2, 0.2]]   # measured
                alarm_budget: 1/week
        ignore:
          - [[0, 0], [1, 0], [1, 0.1]]   # the clock
    quay:   # the old one
        source: "quay.mp4"
        enabled: yes
# the end
"""
TRIANGLE = [[0.0, 0.0], [0.5, 0.0], [0.5, 0.5]]


@pytest.fixture
def editor(tmp_path: Path) -> ConfigEditor:
    path = tmp_path / "site.yaml"
    path.write_text(WRITTEN)
    return ConfigEditor(path)


def changed_lines(before: str, after: str) -> list[str]:
    return [line for line in difflib.ndiff(before.splitlines(), after.splitlines()) if line[0] in "+-"]


def test_only_what_is_asked_for_changes(editor: ConfigEditor) -> None:
    editor.change_camera("quay", {"alarm_budget": "1/week", "ignore": [TRIANGLE]})
    assert changed_lines(WRITTEN, editor.text()) == [
        "+         alarm_budget: 1/week",
        "+         ignore: [[[0.0, 0.0], [0.5, 0.0], [0.5, 0.5]]]",
    ]
    assert load_config(editor.path).cameras["quay"].alarm_budget == pytest.approx(1 / 7)


def test_a_zone_is_added_changed_and_taken_away_and_comments_stay(editor: ConfigEditor) -> None:
    editor.change_camera("gate", {"zones": {"pier": {"polygon": TRIANGLE}, "door": {"alarm_budget": "2/day"}}})
    zones = load_config(editor.path).cameras["gate"].zones
    assert set(zones) == {"pier", "door"}
    assert zones["door"].alarm_budget == 2
    assert all(comment in editor.text() for comment in ("# measured", "# repaired in May", "# the end", "# the old one"))
    editor.change_camera("gate", {"zones": {"pier": None}})
    assert set(load_config(editor.path).cameras["gate"].zones) == {"door"}


def test_a_camera_is_added_and_removed(editor: ConfigEditor) -> None:
    editor.change_camera("mast", {"source": "mast.mp4", "enabled": False})
    assert list(load_config(editor.path).cameras) == ["gate", "quay", "mast"]
    editor.remove_camera("mast")
    assert yaml.safe_load(editor.text()) == yaml.safe_load(WRITTEN)


def test_what_is_invalid_is_not_written(editor: ConfigEditor) -> None:
    for patch in ({"alarm_budget": "often"}, {"ignore": [[[0, 0]]]}, {"unheard_of": 1}, {"source": None}):
        with pytest.raises(ConfigError):
            editor.change_camera("gate", patch)
    with pytest.raises(ConfigError, match="version"):
        editor.replace("version: 3\ncameras: {a: {source: b}}\n")
    assert editor.text() == WRITTEN


def test_what_somebody_else_wrote_meanwhile_is_not_lost(editor: ConfigEditor) -> None:
    _, tag = editor.shown()
    editor.path.write_text(WRITTEN + "health: {ready_within: 2m}\n")
    with pytest.raises(FileChanged, match="changed meanwhile"):
        editor.replace(WRITTEN, tag)
    assert "ready_within" in editor.text()


def test_secrets_are_masked_and_a_mask_is_no_secret(editor: ConfigEditor) -> None:
    text, _ = editor.shown()
    assert "a-hidden-word" not in text
    assert SHOWN in text
    with pytest.raises(ConfigError, match=r"a secret was masked; write \$\{NAME\}"):
        editor.replace(text)


def test_a_password_is_kept_beside_the_file_for_its_owner_alone(editor: ConfigEditor) -> None:
    written = editor.keep_secret("mast-1_PASSWORD", "pa/ss wo:rd")
    assert written == "${MAST_1_PASSWORD}"
    path = editor.path.parent / "secrets/MAST_1_PASSWORD"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    editor.change_camera("mast", {"source": f"rtsp://viewer:{written}@10.0.0.6/1"})
    assert load_config(editor.path).cameras["mast"].source.get_secret_value() == "rtsp://viewer:pa%2Fss%20wo%3Ard@10.0.0.6/1"
    assert mask_credentials("it is pa/ss wo:rd") == f"it is {SHOWN}"


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        ConfigEditor(tmp_path / "no/such/site.yaml").keep_secret("A", "b")


def test_the_example_is_changed_in_the_lines_that_are_asked_for() -> None:
    text = (REPOSITORY / "configs/example.yaml").read_text()
    after = edited(text, lambda document: merge(document["cameras"]["loading-dock"], {"enabled": False}))
    assert changed_lines(text, after) == ["-     enabled: true", "+     enabled: false"]


SHARE = st.floats(0, 1).map(lambda share: round(share, 4))
KEYS: dict[str, st.SearchStrategy[Any]] = {
    "enabled": st.booleans() | st.none(),
    "alarm_budget": st.sampled_from(["1/day", "2/week", None]),
    "fps": st.sampled_from([1, 2.5, "native", None]),
    "ignore": st.none() | st.lists(st.lists(st.tuples(SHARE, SHARE), min_size=3, max_size=5), max_size=3),
}


def change(camera: str, patch: dict[str, Any], document: CommentedMap) -> None:
    merge(document["cameras"].setdefault(camera, CommentedMap()), patch)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["gate", "quay", "new"]), st.fixed_dictionaries({}, optional=KEYS)), max_size=5))
def test_any_changes_come_to_what_they_say_and_no_comment_is_lost(changes: list[tuple[str, dict[str, Any]]]) -> None:
    text, expected = WRITTEN, yaml.safe_load(WRITTEN)
    for camera, patch in changes:
        made = {"source": "x.mp4", **patch} if camera == "new" else patch
        text = edited(text, partial(change, camera, made))
        known = expected["cameras"].setdefault(camera, {})
        for key, value in made.items():
            known.pop(key, None)
            known |= {} if value is None else {key: value}
    assert Config.model_validate(yaml.safe_load(text)) == Config.model_validate(expected)
    assert all(comment in text for comment in ("# Of the harbour", "# the north gate", "# repaired in May", "# measured"))
