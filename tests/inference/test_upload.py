"""Frames on their way to the device: what arrives is what was sent, also where the next part is collected meanwhile."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from streamwatch.inference.upload import PART_FRAMES, PinnedUpload, host_batch, upload_for
from streamwatch.records import Frame


def frames_of(count: int, seed: int = 0) -> list[Frame]:
    """Every third has no speed."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (count, 256, 256, 3), dtype=np.uint8)
    speed = rng.uniform(0, 90, (count, 64, 64)).astype(np.float32)
    return [Frame("cam", n, 0.1 * n, 0.0, 0.0, pixels[n], speed=None if n % 3 == 2 else speed[n]) for n in range(count)]


def test_frames_are_tensors_of_the_device(device: torch.device) -> None:
    frames = frames_of(5)
    batch = upload_for(device)(frames)
    assert all(tensor.device.type == device.type for tensor in batch.tensors)
    assert np.array_equal(batch.pixels.cpu().numpy(), np.stack([frame.pixels for frame in frames]))
    assert batch.time_s.tolist() == [frame.time_s for frame in frames]
    assert [bool(torch.isnan(speed).all()) for speed in batch.speed] == [frame.speed is None for frame in frames]
    assert torch.equal(batch.speed[:1].cpu(), host_batch(frames[:1]).speed)


def test_parts_that_follow_one_another_at_once_are_not_mixed(device: torch.device) -> None:
    if device.type != "cuda":
        pytest.skip("skipped: page-locked memory is a GPU's")
    upload, parts = PinnedUpload(device), [frames_of(count, seed) for seed, count in enumerate((70, 3, PART_FRAMES, 70, 3))]
    busy = torch.randn((4096, 4096), device=device)
    sent = []
    for part in parts:
        for _ in range(20):
            busy = busy @ busy / 64  # the device is behind: what is sent waits, and its buffer with it
        sent.append(upload(part))
    for part, batch in zip(parts, sent, strict=True):
        expected = host_batch(part)
        assert torch.equal(batch.pixels.cpu(), expected.pixels)
        assert torch.equal(batch.speed.cpu().nan_to_num(), expected.speed.nan_to_num())
