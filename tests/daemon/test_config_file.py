"""A configuration file that is followed: whatever reading it comes to, whoever follows it goes on."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from streamwatch.config.schema import Config
from streamwatch.daemon.config_file import ConfigFile, ConfigFollower

LEAST = "version: 1\ncameras: {a: {source: rtsp://127.0.0.1/}}\n"


class Broken(ConfigFile):
    """Reading it is a fault of ours."""

    def load(self) -> Config:
        raise RuntimeError("of ours")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "site.yaml"
    file.write_text(LEAST)
    return file


def test_it_is_read_when_asked_or_changed(path: Path) -> None:
    follower = ConfigFollower(ConfigFile(path))
    assert follower.poll() is None
    follower.ask()
    assert isinstance(follower.poll(), Config)
    path.write_text(LEAST + "update_at: 2026-02-30\n")
    refused = follower.poll()
    assert isinstance(refused, Exception)
    assert "cannot be read" in str(refused)
    assert follower.poll() is None
    path.write_text(LEAST + "update_at: '02:30'\n")
    assert isinstance(follower.poll(), Config)


def test_a_fault_of_ours_is_told_with_its_stack_and_ends_nothing(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    follower = ConfigFollower(Broken(path))
    follower.ask()
    with caplog.at_level(logging.ERROR, logger="streamwatch"):
        assert isinstance(follower.poll(), RuntimeError)
    (record,) = caplog.records
    assert record.exc_info
    assert "internal fault" in record.getMessage()
    assert follower.poll() is None
