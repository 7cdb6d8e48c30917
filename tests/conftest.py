"""Fixtures that many tests share. Videos are made here, or read from ../shared/data, which is never committed."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: see cli/main.py

import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings

from streamwatch import masking
from streamwatch.cli.main import main
from streamwatch.clock import SystemClock
from streamwatch.model.batches import FrameBatch
from streamwatch.model.embedding.embedder import Embedder
from streamwatch.model.embedding.identity import BackboneSpec, EmbeddingIdentity, build_embedder
from streamwatch.model.fitting import fit
from streamwatch.model.scene import SceneModel
from streamwatch.records import Frame
from streamwatch.video.optical_flow import DEFAULT_STEP_S
from streamwatch.video.pace import Pace
from streamwatch.video.reader import FrameReader, RetentionOptions
from streamwatch.video.sources import parse_source
from streamwatch.video.streams.opener import PyAvOpener
from tools.footage import QUICK_PRECISION, REPOSITORY, SHARED_DATA, encode, moving_square, run_command

__all__ = ["QUICK_PRECISION", "REPOSITORY", "encode", "moving_square", "run_command"]

pytest_plugins = ["tests.databases"]
settings.register_profile("steady", deadline=None)  # these machines are noisy: a test's time says nothing of the code
settings.load_profile("steady")
UNTRAINED = BackboneSpec(weights="untrained")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest modules first, so that the processes of a parallel run end together."""

    def seconds(item: pytest.Item) -> float:
        marker = item.get_closest_marker("slow")
        return float(marker.args[0]) if marker else 0.0

    items.sort(key=lambda item: -seconds(item))


@pytest.fixture(params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> torch.device:
    """Every device; FAIL_WITHOUT_CUDA=1 turns the skip into a failure."""
    if request.param == "cuda" and not torch.cuda.is_available():
        if os.environ.get("FAIL_WITHOUT_CUDA") == "1":
            pytest.fail("FAIL_WITHOUT_CUDA=1 and there is no CUDA device")
        pytest.skip("skipped: no CUDA device on this machine")
    return torch.device(request.param)


@pytest.fixture(scope="session")
def untrained() -> tuple[Embedder, EmbeddingIdentity]:
    """The untrained ResNet-18 embedder, d=100, on the CPU."""
    return build_embedder(UNTRAINED, device=torch.device("cpu"))


def shared_file(name: str) -> Path:
    """A file of ../shared/data, or a skip that says why."""
    path = SHARED_DATA / name
    if not path.exists():
        pytest.skip(f"skipped: {path} is not on this machine")
    return path


@pytest.fixture(scope="session")
def ped2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """UCSD Ped2 in the layout of ShanghaiTech Campus, unpacked."""
    folder = tmp_path_factory.mktemp("ped2")
    with tarfile.open(shared_file("ped2-stc.tar.xz")) as archive:
        archive.extractall(folder, filter="data")
    return folder / "ped2-stc"


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """80 frames at 10 fps of a wandering square, H.264 in MP4."""
    return encode(tmp_path_factory.mktemp("video") / "normal.mp4", moving_square(80))


def read(source: Path | str, *, camera: str = "cam", fps: float | None = None) -> list[Frame]:
    """All frames of a source."""
    return list(reader_of(source, camera=camera, fps=fps).frames())


def reader_of(source: Path | str, *, camera: str = "cam", fps: float | None = None, keep: bool = False) -> FrameReader:
    """A reader with the real opener and clock."""
    return FrameReader(
        camera,
        parse_source(str(source)),
        opener=PyAvOpener(),
        clock=SystemClock(),
        pace=Pace(fps),
        retention=RetentionOptions(pictures=keep),
    )


def read_moving(source: Path | str, *, camera: str = "cam", fps: float | None = None) -> list[Frame]:
    """All frames of a source with their speed."""
    reader = FrameReader(
        camera,
        parse_source(str(source)),
        opener=PyAvOpener(),
        clock=SystemClock(),
        pace=Pace(fps),
        motion_step_s=DEFAULT_STEP_S,
    )
    return list(reader.frames())


def inputs(frames: list[Frame]) -> torch.Tensor:
    """Frames' model inputs as one (N, 256, 256, 3) tensor."""
    return torch.from_numpy(np.stack([frame.pixels for frame in frames]))


def batch_of(pixels: torch.Tensor, speed: torch.Tensor | None = None, rate_hz: float = 10.0) -> FrameBatch:
    """Model inputs as a batch to learn, at a steady rate; without ``speed`` there is no motion evidence."""
    nothing = torch.full((len(pixels), 64, 64), torch.nan)
    time_s = torch.arange(len(pixels), dtype=torch.float64) / rate_hz
    return FrameBatch(pixels, (nothing if speed is None else speed).to(pixels.device), time_s)


@pytest.fixture(scope="session")
def fitted(video: Path, untrained: tuple[Embedder, EmbeddingIdentity]) -> SceneModel:
    """A scene model of ``video``; do not change it."""
    embedder, identity = untrained
    return fit(SceneModel(identity), embedder, [batch_of(inputs(read(video)))])


Cli = Callable[..., "CliResult"]


class CliResult:
    """What a command came to, run in this process."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def error_line(self) -> str:
        """The one line of error; fails if there is not exactly one, or a traceback."""
        assert "Traceback" not in self.err
        lines = [line for line in self.err.splitlines() if line.startswith("error:")]
        assert len(lines) == 1, self.err
        return lines[0]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run `streamwatch ARGUMENTS...` in this process."""

    def run(*arguments: object) -> CliResult:
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_info:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return CliResult(int(exit_info.value.code or 0), captured.out, captured.err)

    return run


@pytest.fixture(autouse=True)
def no_secrets_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test's configuration calls a secret may be a word of another's messages."""
    monkeypatch.setattr(masking, "_known", masking._Known())
