"""Our own commands, started beside the daemon."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from streamwatch.commands import start_command
from streamwatch.daemon.nightly_process import start_update


def test_it_is_this_command_and_no_shell_reads_its_arguments(tmp_path: Path) -> None:
    made = tmp_path / "made"
    process = start_command(["no-such; touch", f"$(touch {made})"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said, _ = process.communicate(timeout=60)
    assert (process.returncode, "'no-such; touch'" in said, made.exists()) == (2, True, False)


def test_the_nightly_update_says_on_stderr_that_its_file_is_not_there(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "no such.yaml"
    process = start_update(missing)
    assert isinstance(process, subprocess.Popen)
    code = process.wait(timeout=60)
    shown = capfd.readouterr()
    assert (code, shown.out, str(missing) in shown.err) == (2, "", True)
