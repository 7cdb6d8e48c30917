"""A configuration file is changed as a person would: what they wrote stays, and only what is asked for changes."""

from __future__ import annotations

import difflib
import re
import stat
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml.comments import CommentedMap

from streamwatch.config.editing import AlreadyThere, ConfigEditor, FileChanged, edited, merge
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
    with pytest.raises(ConfigError, match=r"a secret was masked; leave the line as it is"):
        editor.replace(text.replace("# repaired in May", "# repaired in June"))


def test_a_password_is_kept_beside_the_file_for_its_owner_alone(editor: ConfigEditor) -> None:
    written = editor.keep_secret("mast-1", "pa/ss wo:rd")
    assert written.startswith("${CAMERA_MAST_1_")
    path = editor.path.parent / "secrets" / written[2:-1]
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
    for camera, patch in [*changes, ("quay", {"enabled": True})]:  # one must be
        made = {"source": "x.mp4", **patch} if camera == "new" else patch
        text = edited(text, partial(change, camera, made))
        known = expected["cameras"].setdefault(camera, {})
        for key, value in made.items():
            known.pop(key, None)
            known |= {} if value is None else {key: value}
    assert Config.model_validate(yaml.safe_load(text)) == Config.model_validate(expected)
    assert all(comment in text for comment in ("# Of the harbour", "# the north gate", "# repaired in May", "# measured"))


def test_lines_that_are_shown_masked_are_saved_as_they_are(editor: ConfigEditor) -> None:
    text = WRITTEN + "alerts: {webhooks: [{name: a, url: 'http://h/x?token=abcdefgh1'}]}   # *** the pager ***\n"
    editor.path.write_text(text)
    shown, tag = editor.shown()
    assert "a-hidden-word" not in shown
    assert "abcdefgh1" not in shown
    editor.replace(shown.replace("{fps: 2}", "{fps: 3}"), tag)
    assert editor.text() == text.replace("{fps: 2}", "{fps: 3}")


def test_names_of_secrets_are_shown(editor: ConfigEditor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOOR_PASSWORD", "hidden-behind-a-name")
    line = "        source: rtsp://viewer:${DOOR_PASSWORD}@10.0.0.7/s   # by name"
    editor.path.write_text(WRITTEN.replace('        source: "quay.mp4"', line))
    shown, _ = editor.shown()
    assert line in shown
    editor.replace(shown)
    assert line in editor.text()


def test_who_may_read_it_and_where_it_lies_stays(editor: ConfigEditor, tmp_path: Path) -> None:
    editor.path.chmod(0o600)
    link = tmp_path / "link.yaml"
    link.symlink_to(editor.path)
    ConfigEditor(link).change_camera("quay", {"fps": 3})
    assert link.is_symlink()
    assert load_config(editor.path).settings("quay").fps == 3
    assert stat.S_IMODE(editor.path.stat().st_mode) == 0o600


def test_line_ends_stay(editor: ConfigEditor) -> None:
    editor.path.write_bytes(WRITTEN.replace("\n", "\r\n").encode())
    tag = editor.change_camera("quay", {"fps": 3})
    content = editor.path.read_bytes()
    assert content.count(b"\n") == content.count(b"\r\n")
    assert editor.shown()[1] == tag


def test_a_name_that_yaml_reads_as_a_number_is_one(editor: ConfigEditor) -> None:
    editor.path.write_text("version: 1\ncameras:\n  101: {source: a.mp4}   # first\n  b: {source: b.mp4}\n")
    editor.change_camera("101", {"fps": 3})
    assert load_config(editor.path).settings("101").fps == 3
    assert "# first" in editor.text()
    editor.remove_camera("101")
    assert list(load_config(editor.path).cameras) == ["b"]
    with pytest.raises(UsageError, match="no camera 101"):
        editor.remove_camera("101")


@pytest.mark.parametrize("text", ["", "- a\n", "version: 1\ncameras:\n", "version: 1\ncameras: {a: null}\n", "a: [\n"])
def test_a_file_that_is_broken_is_said_to_be_and_shown(editor: ConfigEditor, text: str) -> None:
    editor.path.write_text(text)
    with pytest.raises(ConfigError):
        editor.change_camera("a", {"fps": 3})
    assert editor.shown()[0] == text


def test_a_comment_that_would_be_lost_is_a_reason_to_do_nothing(editor: ConfigEditor) -> None:
    text = "version: 1\ncameras:\n  a: {source: a.mp4}\n  b: {source: b.mp4,   # note\n      fps: 2}\n"
    editor.path.write_text(text)
    with pytest.raises(ConfigError, match="change a in it by hand"):
        editor.change_camera("a", {"fps": 3})
    assert editor.text() == text


def test_each_secret_has_a_name_of_its_own_and_none_is_taken_from_elsewhere(
    editor: ConfigEditor, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {editor.keep_secret(camera, f"secret of {camera}") for camera in ("a-b", "a.b", "a_b", "A-B", "1st-door")}
    assert len(names) == 5
    assert all(re.fullmatch(r"\$\{CAMERA_[A-Z0-9_]+\}", name) for name in names)
    monkeypatch.setenv(editor.keep_secret("c", "x1234")[2:-1], "another")
    with pytest.raises(UsageError, match="is set elsewhere"):
        editor.keep_secret("c", "y1234")


def test_with_a_camera_its_lines_go_and_nobody_elses(editor: ConfigEditor) -> None:
    editor.remove_camera("gate")
    gone = [line[2:].strip() for line in changed_lines(WRITTEN, editor.text())]
    assert gone[0] == "gate:"
    assert gone[-1] == "- [[0, 0], [1, 0], [1, 0.1]]   # the clock"
    assert all(comment in editor.text() for comment in ("# the north gate", "# the old one", "# the end"))
    editor.path.write_text("version: 1\ncameras: {a: {source: a.mp4}, b: {source: b.mp4}}\n")
    editor.remove_camera("a")
    assert list(load_config(editor.path).cameras) == ["b"]


def test_what_is_new_takes_nobodys_place(editor: ConfigEditor) -> None:
    with pytest.raises(AlreadyThere):
        editor.change_camera("gate", {"source": "other.mp4"}, new=True)
    assert editor.text() == WRITTEN
