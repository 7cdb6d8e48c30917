"""A wheel and an sdist are built, and what is installed from the wheel works without the repository."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

import streamwatch
from tests.conftest import REPOSITORY, encode, moving_square

pytestmark = pytest.mark.slow(25)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-t", "sdist", "-d", str(folder)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command in an environment of its own, that borrows only the libraries of this one."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=False, symlinks=True)
    site = next(folder.glob("lib/python*/site-packages"))
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        wheel.extractall(site)  # noqa: S202 - it was just built here
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin/python"


def run(python: Path, *arguments: str, cwd: Path, **environment: str) -> str:
    clean = {"PATH": os.environ["PATH"], "HOME": str(cwd), "OMP_WAIT_POLICY": "PASSIVE", **environment}
    done = subprocess.run(
        [str(python), "-m", "streamwatch", *arguments], cwd=cwd, env=clean, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_version_comes_from_one_place(built: Path) -> None:
    names = sorted(path.name for path in built.iterdir())
    assert names == [f"streamwatch-{streamwatch.__version__}-py3-none-any.whl", f"streamwatch-{streamwatch.__version__}.tar.gz"]
    assert f"## {streamwatch.__version__}" in (REPOSITORY / "CHANGELOG.md").read_text()


def test_the_wheel_holds_the_package_whole_and_nothing_else(built: Path) -> None:
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        names = {name for name in wheel.namelist() if not name.startswith("streamwatch-")}
    here = REPOSITORY / "streamwatch"
    files = {path for path in here.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert names == {path.relative_to(REPOSITORY).as_posix() for path in files}
    assert all(name.startswith("streamwatch/") for name in names)


def test_the_sdist_can_be_tested(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert {
        "Makefile",
        "constraints.txt",
        "tests/conftest.py",
        "configs/example.yaml",
        "deploy/README.md",
        "docs/method.md",
    } <= names


def test_what_is_installed_works_elsewhere(installed: Path, tmp_path: Path) -> None:
    assert streamwatch.__version__ in run(installed, "--version", cwd=tmp_path)
    assert json.loads(run(installed, "schema", cwd=tmp_path))["title"] == "Config"
    asked = [str(installed), "-c", "import streamwatch; print(streamwatch.__file__)"]
    where = subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert str(installed.parent.parent) in where.stdout
    (tmp_path / "site.yaml").write_text("version: 1\ncameras: {a: {source: 'rtsp://127.0.0.1:1/'}}\n")
    assert "ok, 1 camera" in run(installed, "check", "site.yaml", cwd=tmp_path)
    encode(tmp_path / "a.mp4", moving_square(5))
    (tmp_path / "site.yaml").write_text("version: 1\ncameras: {a: {source: a.mp4}}\n")
    assert "opens, 5 frames declared" in run(installed, "check", "--probe", "site.yaml", cwd=tmp_path)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete(installed: Path, tmp_path: Path, shell: str) -> None:
    script = run(installed, cwd=tmp_path, _STREAMWATCH_COMPLETE=f"{shell}_source")
    assert "streamwatch" in script
