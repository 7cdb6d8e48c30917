"""All cameras' distances in one launch: the kernel itself on a GPU, and on a CPU through Triton's interpreter."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest
import torch

from streamwatch.inference.field_maps import kernel_works
from streamwatch.model.normality import grouped_distances as module
from streamwatch.model.normality.gaussian import GaussianField, mahalanobis
from streamwatch.model.normality.grouped_distances import grouped_distances

RELATIVE_TOLERANCE = {"cpu": 1e-5, "cuda": 1e-5}
HALF_TOLERANCE = {"cpu": 2e-2, "cuda": 4e-3}
"""In bf16, which rounds by up to 1/256: the interpreter cuts off where a GPU rounds."""
SHARED_BYTES_OF_SMALL_GPU = 99 * 1024
POSITIONS = 4
ROWS_OF = ([0, 3, 5], [1, 2], [4, *range(6, 40)])
IN_INTERPRETER = f"""
import torch
from {__name__} import require_distances
require_distances(torch.device("cpu"))
"""


def field_of(dims: int, seed: int, device: torch.device) -> GaussianField:
    generator = torch.Generator().manual_seed(seed)
    whitener = torch.randn((POSITIONS, dims, dims), generator=generator).triu()
    return GaussianField.of(torch.randn((POSITIONS, dims), generator=generator), whitener).to(device)


def require_distances(device: torch.device) -> None:
    """Of every number of dimensions that a backbone has, and few; of float32 and 16 bits in one batch."""
    for dims in (5, 10, 100, 200, 550) if device.type == "cuda" else (10, 100):
        fields = [field_of(dims, number, device) for number in range(3)]
        fields[1] = fields[1].rounded(torch.bfloat16, 1e-3)
        x = torch.randn((40, POSITIONS, dims), generator=torch.Generator().manual_seed(9)).to(device)
        found = grouped_distances(fields, x, ROWS_OF)
        for field, rows in zip(fields, ROWS_OF, strict=True):
            exact = field.to(torch.device("cpu"), torch.float64)
            expected = mahalanobis(exact, x[rows].cpu().double())
            tolerance = (RELATIVE_TOLERANCE if field.rounding == 0 else HALF_TOLERANCE)[device.type]
            error = float(((found[rows].cpu() - expected) / expected).abs().max())
            print(f"d={dims}, {field.blocks[0].dtype}: {error:.1e}")
            assert error <= tolerance


def test_distances_are_those_of_each_rows_own_field(device: torch.device) -> None:
    if not module.available():
        pytest.skip("skipped: Triton is not installed")
    if device.type == "cuda":
        require_distances(device)
        return
    environment = {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1", "PATH": ""}
    ran = subprocess.run([sys.executable, "-c", IN_INTERPRETER], env=environment, capture_output=True, text=True, check=False)
    print(ran.stdout)
    assert ran.returncode == 0, ran.stderr


def test_on_a_gpu_it_works(device: torch.device) -> None:
    if device.type != "cuda":
        pytest.skip("skipped: on a CPU cameras go one by one")
    assert all(kernel_works(device, dims) for dims in (10, 100, 200, 550))


def test_rows_of_no_field_say_nothing(device: torch.device) -> None:
    if device.type != "cuda":
        pytest.skip("skipped: in the interpreter it is among the distances")
    found = grouped_distances([field_of(100, 0, device)], torch.randn((3, POSITIONS, 100), device=device), [[1]])
    assert found.isnan().all(dim=1).tolist() == [True, False, True]


@pytest.mark.parametrize("fault", ["missing", "fails", "wrong"])
def test_where_it_cannot_be_had_that_is_said_and_cameras_go_one_by_one(
    fault: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def failing(fields: list[GaussianField], x: torch.Tensor, _rows: object) -> torch.Tensor:
        if fault == "fails":
            raise RuntimeError("Failed to find C compiler\nmore")
        return 1.01 * mahalanobis(fields[0], x)

    monkeypatch.setattr(module, "available", lambda: fault != "missing")
    monkeypatch.setattr(module, "grouped_distances", failing)
    assert not kernel_works(torch.device("cpu"), 20)
    assert len(caplog.messages) == 1
    assert "camera by camera" in caplog.text
    assert {"missing": "not installed", "fails": "C compiler", "wrong": "1e-02"}[fault] in caplog.text


@pytest.mark.parametrize(("dims", "half"), [(100, True), (100, False), (550, True), (550, False)])
def test_it_compiles_for_a_gpu_that_is_not_here(dims: int, half: bool) -> None:
    triton = pytest.importorskip("triton", reason="skipped: Triton is not installed")
    compiler, target = importlib.import_module("triton.compiler"), importlib.import_module("triton.backends.compiler")
    kernel = importlib.import_module("streamwatch.model.normality.distance_kernel")
    pointers = {"x": "*fp32", "groups": "*i32", "addresses": "*i64", "found": "*fp32", "positions": "i32"}
    constants = {"dims": dims, "blocks": 4, "width": triton.next_power_of_2(-(-dims // 4)), "rows_at_once": 16, "half": half}
    source = compiler.ASTSource(
        kernel.compiled, signature=pointers | dict.fromkeys(constants, "constexpr"), constexprs=constants
    )
    made = triton.compile(source, target=target.GPUTarget("cuda", 86, 32), options={"num_warps": 1, "enable_fp_fusion": True})
    assert made.metadata.shared <= SHARED_BYTES_OF_SMALL_GPU
    assert "mma." in made.asm["ptx"] or not half, "tensor cores take the 16 bits"
