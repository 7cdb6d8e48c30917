"""`streamwatch token`, as an administrator uses it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streamwatch.store.access import AccessStore
from streamwatch.store.sessions import open_database
from tests.conftest import Cli, encode, moving_square


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "site.yaml"
    path.write_text(json.dumps({"version": 1, "data_dir": str(tmp_path / "data"), "cameras": {"a": {"source": "rtsp://h/a"}}}))
    return path


def test_made_listed_and_revoked(cli: Cli, config: Path) -> None:
    made = cli("token", "create", "anna's phone", "--role", "operator", "-c", config)
    assert made.code == 0
    database = open_database(None, config.parent / "data")
    found = AccessStore(database).holder_of(made.out.strip())
    database.dispose()
    assert found
    listed = cli("token", "list", "-c", config)
    assert "anna's phone" in listed.out
    assert "never used" in listed.out
    assert made.out.strip() not in listed.out
    assert cli("token", "revoke", "anna's phone", "-c", config).code == 0
    (document,) = json.loads(cli("token", "list", "-c", config, "--json").out)
    assert document["revoked"]
    again = json.loads(cli("token", "create", "anna's phone", "--role", "admin", "-c", config, "--json").out)
    assert again["token"].startswith("swt_")


WRONG = [
    (("create", "", "--role", "admin"), "a name has 1 to 63 characters"),
    (("create", "a" * 64, "--role", "admin"), "63 characters"),
    (("create", "a\nb", "--role", "admin"), "can be printed"),
    (("create", "a"), "--role"),
    (("create", "a", "--role", "king"), "king"),
    (("revoke", "nobody"), "no token 'nobody'"),
]


@pytest.mark.parametrize(("arguments", "says"), WRONG)
def test_what_is_wrong_is_said_in_a_line(cli: Cli, config: Path, arguments: tuple[str, ...], says: str) -> None:
    result = cli("token", *arguments, "-c", config)
    assert result.code == 2
    assert says in result.err
    assert len(result.err.strip().splitlines()) == 1


def test_a_name_is_one_tokens(cli: Cli, config: Path) -> None:
    assert cli("token", "create", "anna", "--role", "viewer", "-c", config).code == 0
    assert "has a token already" in cli("token", "create", "anna", "--role", "viewer", "-c", config).err


def test_a_daemon_that_nobody_could_log_in_to_does_not_start(cli: Cli, config: Path, tmp_path: Path) -> None:
    document = json.loads(config.read_text())
    document |= {"backbone": {"weights": "untrained", "dims": 30}, "metrics": {"listen": None}}
    document |= {"web": {"listen": "127.0.0.1:0", "login": "required"}}
    video = encode(tmp_path / "a.mp4", moving_square(150))
    document["cameras"]["a"] = {"source": str(video), "normal": [str(video)]}
    config.write_text(json.dumps(document))
    assert cli("fit", "-c", config, "a").code == 0
    result = cli("run", "-c", config, "--until-eof")
    assert result.code == 2
    assert "127.0.0.1:0 asks for a login, and there is no token yet; `streamwatch token create" in result.err
    assert cli("token", "create", "anna", "--role", "admin", "-c", config).code == 0
    assert cli("run", "-c", config, "--until-eof").code == 0
