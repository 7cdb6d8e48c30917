"""Batches of a few sizes, planned for before."""

from __future__ import annotations

import copy
import threading

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from streamwatch.inference.planned_sizes import PlannedEmbedder, planned_for, planned_size, planned_sizes
from streamwatch.inference.upload import part_frames
from streamwatch.model.embedding.embedder import Embedder
from streamwatch.model.embedding.identity import EmbeddingIdentity
from streamwatch.records import INPUT_SIZE_PX

RELATIVE_TOLERANCE = {"cpu": 1e-5, "cuda": 1e-4}


def pictures(count: int, device: torch.device) -> Tensor:
    generator = torch.Generator().manual_seed(count)
    made = torch.randint(0, 256, (count, INPUT_SIZE_PX, INPUT_SIZE_PX, 3), dtype=torch.uint8, generator=generator)
    return made.to(device)


class Listening(Embedder):
    """An embedder that remembers what it was given, and has room for so many frames at once."""

    def __init__(self, embedder: Embedder, room: int = 1 << 20) -> None:
        super().__init__(embedder.backbone, embedder.indices)
        self.given: list[int] = []
        self._room = room

    def forward(self, pixels: Tensor) -> Tensor:
        self.given.append(len(pixels))
        if len(pixels) > self._room:
            raise torch.OutOfMemoryError("no room")
        return pixels.float().mean(dim=(1, 2, 3))[:, None, None, None]


@given(st.integers(1, 5000))
def test_a_size_holds_its_frames_and_a_third_of_it_at_most_stays_empty(count: int) -> None:
    size = planned_size(count)
    assert count <= size <= 1.5 * count
    assert planned_size(size) == size


def test_sizes_are_few() -> None:
    assert planned_sizes(128) == [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128]
    assert planned_sizes(29)[-2:] == [24, 29]


def test_blank_pictures_change_no_others(untrained: tuple[Embedder, EmbeddingIdentity], device: torch.device) -> None:
    embedder = copy.deepcopy(untrained[0]).to(device)
    five = pictures(5, device)
    with torch.no_grad():
        expected, found = embedder(five), PlannedEmbedder(embedder, 8)(five)
    error = (found - expected).abs().max() / expected.abs().max()
    assert found.shape == expected.shape
    assert float(error) <= RELATIVE_TOLERANCE[device.type]


def test_a_thread_makes_all_plans_once_and_before_its_first_batch(untrained: tuple[Embedder, EmbeddingIdentity]) -> None:
    inner = Listening(untrained[0])
    planned = PlannedEmbedder(inner, 6)
    assert planned(pictures(5, torch.device("cpu"))).shape == (5, 1, 1, 1)
    planned(pictures(3, torch.device("cpu")))
    assert inner.given == [6, 4, 3, 2, 1, 6, 3]
    other = threading.Thread(target=lambda: planned(pictures(2, torch.device("cpu"))))
    other.start()
    other.join()
    assert inner.given[7:] == [6, 4, 3, 2, 1, 2]


def test_a_size_without_room_is_not_planned_and_smaller_ones_are(untrained: tuple[Embedder, EmbeddingIdentity]) -> None:
    planned = PlannedEmbedder(Listening(untrained[0], room=3), 6)
    assert len(planned(pictures(3, torch.device("cpu")))) == 3
    with pytest.raises(torch.OutOfMemoryError):
        planned(pictures(4, torch.device("cpu")))


def test_a_cpu_needs_no_plans(untrained: tuple[Embedder, EmbeddingIdentity]) -> None:
    assert planned_for(torch.device("cpu"), untrained[0]) is untrained[0]
    on_gpu = planned_for(torch.device("cuda"), untrained[0])
    assert isinstance(on_gpu, PlannedEmbedder)
    assert part_frames(untrained[0].dims) == 128
