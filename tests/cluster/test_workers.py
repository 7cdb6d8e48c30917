"""`fit`, `evaluate` and `backtest` by the workers of a real Ray cluster."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from streamwatch.cluster.connection import connected
from streamwatch.cluster.mapper import RayMapper
from streamwatch.errors import ClusterError, SourceNotFound
from streamwatch.model.artifact.serialization import load_model
from tests.conftest import Cli, encode, moving_square
from tests.evaluation.test_evaluate import evaluate, leaves, write_clip

pytestmark = [pytest.mark.long, pytest.mark.slow(100)]

SAME_MODEL = 1e-6
"""Relative, whatever the number of workers."""
LIKE_ONE_PROCESS = 1e-4
"""Of figures between 0 and 1: sums come in another order, and threads divide them in another way."""


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("footage")
    for number, frames in enumerate((34, 20, 42)):
        encode(folder / f"{number}.avi", moving_square(frames, noise_seed=number), fps=10)
    return sorted(folder.glob("*.avi"))


@pytest.fixture(scope="class")
def mapper(ray_address: str) -> Iterator[RayMapper]:
    with connected(ray_address) as ray:
        yield RayMapper(ray, workers=2)


def slower_first(shared: float, item: int) -> int:
    time.sleep(shared if item == 0 else 0.0)
    return 10 * item


def killed_once(folder: Path, item: int) -> int:
    """The worker that is given item 1 dies, and the next one does not."""
    mark = folder / "killed"
    if item == 1 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def always_killed(_shared: None, _item: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def not_there(_shared: None, item: Path) -> None:
    raise SourceNotFound("no such file", where=item, hint="check the path")


def doubled(shared: torch.Tensor, item: torch.Tensor) -> tuple[torch.Tensor, int]:
    return shared + item, torch.get_num_threads()


class TestMapper:
    def test_results_come_in_the_order_of_what_was_asked(self, mapper: RayMapper) -> None:
        assert list(mapper.map(slower_first, 0.5, range(6))) == [0, 10, 20, 30, 40, 50]

    def test_nothing_to_do_is_nothing(self, mapper: RayMapper) -> None:
        assert list(mapper.map(slower_first, 0.0, [])) == []

    def test_what_a_killed_worker_had_is_done_again(self, mapper: RayMapper, tmp_path: Path) -> None:
        assert list(mapper.map(killed_once, tmp_path, range(4))) == [0, 1, 2, 3]
        assert (tmp_path / "killed").exists()

    def test_workers_that_die_again_and_again_are_an_error(self, mapper: RayMapper) -> None:
        with pytest.raises(ClusterError, match="a worker was lost 4 times"):
            list(mapper.map(always_killed, None, [1]))

    def test_an_error_arrives_whole(self, mapper: RayMapper) -> None:
        with pytest.raises(SourceNotFound) as caught:
            list(mapper.map(not_there, None, [Path("/gone.mp4")]))
        assert str(caught.value) == "/gone.mp4: no such file; check the path"
        assert (caught.value.what, caught.value.hint) == ("no such file", "check the path")

    @pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.uint8])
    def test_tensors_travel_bit_by_bit_to_workers_of_one_thread(self, mapper: RayMapper, kind: torch.dtype) -> None:
        item = torch.arange(12).reshape(3, 4).to(kind)
        ((found, threads),) = mapper.map(doubled, torch.ones(3, 4, dtype=kind), [item])
        assert found.dtype == kind
        assert torch.equal(found, item + 1)
        assert threads == 1


def test_a_live_source_is_learned_by_one_process(cli: Cli, tmp_path: Path) -> None:
    config = tmp_path / "site.yaml"
    config.write_text("version: 1\ncameras:\n  yard: {source: rtsp://127.0.0.1:9/yard}\n")
    result = cli("fit", "-c", config, "yard", "--live", "1m", "--engine", "ray")
    assert result.code == 2
    assert "a live source is learned by one process; leave out --engine ray" in result.error_line


class NoProcessors:
    """A cluster whose nodes give their CPUs to others."""

    def cluster_resources(self) -> dict[str, float]:
        return {"node:__internal_head__": 1.0}


def test_a_cluster_without_a_processor_is_an_error_and_no_wait() -> None:
    with pytest.raises(ClusterError, match="has no CPU for workers; start a node with --num-cpus"):
        RayMapper(NoProcessors(), workers=2)


class TestAddress:
    def test_a_cluster_that_is_not_there_is_one_line(self, cli: Cli, footage: list[Path], tmp_path: Path) -> None:
        result = cli("fit", "--model", tmp_path / "m.safetensors", footage[0], "--engine", "ray", "--address", "127.0.0.1:1")
        assert result.code == 1
        assert "no Ray cluster answers" in result.error_line

    def test_options_of_ray_without_ray_are_a_mistake(self, cli: Cli, footage: list[Path], tmp_path: Path) -> None:
        for options in (("--address", "local"), ("--workers", "2")):
            result = cli("fit", "--model", tmp_path / "m.safetensors", footage[0], *options)
            assert result.code == 2
            assert "goes with --engine ray" in result.error_line

    def test_a_live_camera_is_learned_by_one_process(self, cli: Cli, tmp_path: Path) -> None:
        arguments = ("--model", tmp_path / "m.safetensors", "rtsp://127.0.0.1:1/a", "--live", "20s", "--engine", "ray")
        result = cli("fit", *arguments)
        assert result.code == 2
        assert "a live source is learned by one process" in result.error_line


def test_a_fit_is_the_same_on_one_worker_and_on_two(cli: Cli, ray_address: str, footage: list[Path], tmp_path: Path) -> None:
    models = []
    for workers in (1, 2):
        path = tmp_path / f"{workers}.safetensors"
        options = ("--weights", "untrained", "--dims", "12", "--features", "both", "--precision", "float32")
        by = ("--engine", "ray", "--address", ray_address, "--workers", workers)
        result = cli("fit", "--model", path, *footage, *options, *by)
        assert result.code == 0, result.err
        assert "96 frames learned" in result.out
        models.append(load_model(path, with_moments=True)[0])
    one, two = (model.require_moments() for model in models)
    assert float((one.s2 - two.s2).abs().max() / one.s2.abs().max()) <= SAME_MODEL
    assert models[0].samples_ == pytest.approx(models[1].samples_, rel=SAME_MODEL)
    assert repr(models[0].calibration_) == repr(models[1].calibration_)


def test_an_evaluation_is_that_of_one_process(cli: Cli, ray_address: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.mktemp("stc")
    (root / "training/videos").mkdir(parents=True)
    for name in ("01_001", "01_002"):
        encode(root / f"training/videos/{name}.avi", moving_square(40, noise_seed=int(name[-1])), fps=24)
    write_clip(root, "01_0001")
    write_clip(root, "01_0002")
    documents: list[dict[str, Any]] = []
    ray: tuple[object, ...] = ("--engine", "ray", "--address", ray_address)
    for by in ((), ray, (*ray, "--workers", 1)):
        report = tmp_path_factory.mktemp("report")
        result = evaluate(cli, root, report, "--dims", "12", "--train-frames", "64", *by)
        assert result.code == 0, result.err
        documents.append(json.loads(result.out))
    figures = [{key: value for key, value in leaves(document).items() if _is_figure(key, value)} for document in documents]
    assert figures[0][".frames"] == 24
    assert figures[1] == pytest.approx(figures[0], abs=LIKE_ONE_PROCESS)
    assert figures[1] == pytest.approx(figures[2], rel=SAME_MODEL)
    assert len(documents[1]["scenes"]) == 1


def _is_figure(key: str, value: object) -> bool:
    return isinstance(value, float | int) and not key.startswith((".software", ".machine", ".protocol", ".wall_time"))


def test_a_backtest_is_that_of_one_process(cli: Cli, ray_address: str, footage: list[Path], tmp_path: Path) -> None:
    config = tmp_path / "streamwatch.yaml"
    config.write_text(
        f"version: 1\ndata_dir: {tmp_path}/data\nbackbone: {{weights: untrained, dims: 12}}\nprecision: float32\n"
        f"cameras:\n  yard: {{source: {footage[0]}, normal: [{', '.join(map(str, footage))}], fps: native}}\n"
    )
    fitted = cli("fit", "-c", config, "yard")
    assert fitted.code == 0, fitted.err
    documents, pages = [], list[str]()
    for by in ((), ("--engine", "ray", "--address", ray_address)):
        page = tmp_path / f"{len(by)}.html"
        asked = ("backtest", "yard", *footage[:2], "-c", config, "--threshold", "0.4", "--report", page, "--json", *by)
        result = cli(*asked)
        assert result.code == 0, result.err
        documents.append(json.loads(result.out))
        pages.append(page.read_text())
    for key in ("frames", "duration_s", "sources", "alarms_per_day"):
        assert documents[0][key] == documents[1][key]
    assert len(documents[0]["near_misses"]) == len(documents[1]["near_misses"])
    assert documents[0]["table"] == documents[1]["table"]
    assert pages[0].count("data:image/jpeg") == pages[1].count("data:image/jpeg")
