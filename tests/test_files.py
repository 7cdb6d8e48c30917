"""Files: locks; how they are written is tested where they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamwatch.errors import FolderInUse
from streamwatch.files import locked


def test_two_daemons_do_not_watch_with_one_folder_and_shards_do(tmp_path: Path) -> None:
    lock, shards = tmp_path / "new" / "run.lock", [tmp_path / "new" / f"run.{n}-of-2.lock" for n in range(2)]
    with locked(lock), pytest.raises(FolderInUse, match=r"another streamwatch watches with this folder"), locked(lock):
        pass
    with locked(lock, shared=True), locked(shards[0]), locked(lock, shared=True), locked(shards[1]):
        for taken, shared in ((lock, False), (shards[0], False)):
            with pytest.raises(FolderInUse), locked(taken, shared=shared):
                pass
    with locked(lock):
        pass


def test_a_folder_that_cannot_be_locked_is_used_all_the_same(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    with locked(tmp_path / "file" / "run.lock"):
        assert "cannot be locked" in caplog.text
