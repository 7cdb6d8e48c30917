"""Model files with right checksums that hold what nobody wrote: refused in one line, or a model that scores."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from streamwatch.errors import ModelFileError, ModelMismatch
from streamwatch.inference.engine import WatchedScene
from streamwatch.inference.factory import build_engine
from streamwatch.inference.resilient_engine import ScoringEngine
from streamwatch.model.artifact.serialization import Provenance, _digest, load_model, read_metadata, save_model
from streamwatch.model.embedding.identity import BackboneSpec, build_embedder
from streamwatch.model.fitting import fit
from streamwatch.model.scene import SceneModel
from streamwatch.records import Frame
from tests.conftest import batch_of, encode, inputs, moving_square, read_moving

MUTATIONS = 1500
SCORED = 60
"""Of what is accepted, as many are scored: a forward of the network each."""
SPEC = BackboneSpec(weights="untrained", dims=2)
STRANGE: tuple[Any, ...] = (
    None, True, -1, 0, 1, 2, 10**9, 10**400, -0.5, 1e308, float("nan"), float("inf"), float("-inf"), "", "x", "day", "..",
    "\ud800", [], [1], [None], {}, {"a": 1}, [[[[]]]], "2026-02-30", 1e18,
)  # fmt: skip

Contents = tuple[dict[str, Any], dict[str, Tensor]]


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> list[Frame]:
    return read_moving(encode(tmp_path_factory.mktemp("hostile") / "normal.mp4", moving_square(40)))


@pytest.fixture(scope="module")
def contents(frames: list[Frame], tmp_path_factory: pytest.TempPathFactory) -> Contents:
    """A small model of both fields, as it lies in its file."""
    embedder, identity = build_embedder(SPEC, device=torch.device("cpu"))
    nothing = np.full((64, 64), np.nan, np.float32)
    speed = torch.from_numpy(np.stack([nothing if f.speed is None else f.speed for f in frames]))
    scene = fit(SceneModel(identity, features="both"), embedder, [batch_of(inputs(frames), speed)])
    scene.regime = "day"
    scene.suppression_ = np.ones(scene.grid, np.float32)
    path = tmp_path_factory.mktemp("hostile") / "cam.safetensors"
    save_model(scene, path, Provenance(("normal.mp4",), 1.7e9, 4.0))
    return read_metadata(path), load_file(path)


@pytest.fixture(scope="module")
def engine() -> ScoringEngine:
    return build_engine(SPEC, device="cpu", precision="float32")


def write(path: Path, document: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    """With the checksum that they have."""
    document["sha256"] = _digest(document, tensors)
    save_file(tensors, path, metadata={"streamwatch": json.dumps(document)})


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something lies in a document."""
    if path:
        yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(inner, (*path, key))


def altered_document(document: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(document))
    *outer, last = rng.choice([p for p in places(copy) if p[0] != "sha256" and len(p) < 5])
    holder: Any = copy
    for key in outer:
        holder = holder[key]
    if rng.random() < 0.2:
        del holder[last]
    else:
        holder[last] = rng.choice(STRANGE)
    return copy


ALTERATIONS: tuple[Callable[[Tensor], Tensor], ...] = (
    lambda t: t * float("nan"),
    lambda t: t + float("inf"),
    lambda t: -t,
    lambda t: t * 0,
    lambda t: t * 1e30,
    lambda t: t[:-1].clone(),
    lambda t: t[:0].clone(),
    lambda t: t.reshape(-1),
    lambda t: t[None],
    lambda t: t.to(torch.bfloat16),
    lambda t: t.to(torch.int64),
    lambda t: t.to(torch.bool),
    lambda t: t.to(torch.float64),
    lambda t: t.flip(0),
)


def altered_tensors(tensors: dict[str, Tensor], rng: random.Random) -> dict[str, Tensor]:
    name = rng.choice(sorted(tensors))
    copy = dict(tensors)
    if rng.random() < 0.1:
        del copy[name]
        return copy
    changed = rng.choice(ALTERATIONS)(tensors[name])
    if rng.random() < 0.1:
        copy[f"{name}.more"] = changed.clone()
    else:
        copy[name] = changed
    return {key: tensor.contiguous() for key, tensor in copy.items()}


def score_with(engine: ScoringEngine, scene: SceneModel, frames: list[Frame]) -> None:
    engine.watch("cam", WatchedScene(scene))
    assert len(engine.score(frames[-2:])) == 2


def test_whatever_a_file_holds_it_is_refused_in_a_line_or_scores(
    contents: Contents, engine: ScoringEngine, frames: list[Frame], tmp_path: Path
) -> None:
    rng, path, scored, lines = random.Random(0), tmp_path / "cam.safetensors", 0, list[str]()
    for _ in range(MUTATIONS):
        document, tensors = contents
        if rng.random() < 0.6:
            document = altered_document(document, rng)
        else:
            document, tensors = dict(document), altered_tensors(tensors, rng)
        write(path, document, tensors)
        try:
            scene, _ = load_model(path, with_moments=True)
            if scored < SCORED:
                score_with(engine, scene, frames)
                scored += 1
        except (ModelFileError, ModelMismatch) as error:
            lines.append(str(error))
    print(f"\n{len(lines)} of {MUTATIONS} refused, {scored} scored")
    assert not [line for line in lines if "\n" in line]
    assert len(lines) > MUTATIONS / 2
    assert scored > SCORED / 4


@pytest.mark.parametrize("depth", [100, 100_000])
def test_deep_metadata_is_no_internal_fault(contents: Contents, tmp_path: Path, depth: int) -> None:
    path = tmp_path / "cam.safetensors"
    save_file(contents[1], path, metadata={"streamwatch": '{"format_version": 2, "a": ' + "[" * depth + "]" * depth + "}"})
    with pytest.raises(ModelFileError):
        load_model(path)


@pytest.mark.parametrize("raw", ["[]", "3", '"x"', "null", "{}", '{"format_version": NaN}', '{"format_version": 2}', "\x00"])
def test_metadata_that_is_another_document_is_refused(contents: Contents, tmp_path: Path, raw: str) -> None:
    path = tmp_path / "cam.safetensors"
    save_file(contents[1], path, metadata={"streamwatch": raw})
    with pytest.raises(ModelFileError):
        read_metadata(path)
