"""Changing a fitted scene a little: what people or nights teach it, and what it forgets for that."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from streamwatch.model.batches import FrameBatch
from streamwatch.model.embedding.embedder import Embedder
from streamwatch.model.fitting import Learning, add_batch, joined_batches
from streamwatch.model.scene import LEARN_BATCH_FRAMES, SceneModel, gaussians_of


def teach(model: SceneModel, embedder: Embedder, batches: Iterable[FrameBatch], weight: int) -> None:
    """Learn frames that count ``weight`` times each; tails and thresholds stay.

    Raises:
        ModelError: the moments are not loaded.
    """
    taught = Learning()
    with torch.no_grad():
        for batch in joined_batches(batches, LEARN_BATCH_FRAMES):
            add_batch(model, taught, embedder(batch.pixels) if model.sees_appearance else None, batch)
    if taught.appearance:
        moments = model.require_moments()
        moments.merge(taught.appearance.times(weight))
        model.gaussians_ = gaussians_of(model, moments)
    if model.motion_ and taught.motion:
        model.motion_.moments.merge(taught.motion.times(weight))
        model.motion_ = model.motion_.relearned(model.motion_.moments)


def fade(model: SceneModel, share: float) -> None:
    """Weigh what is known less, by a share of it; what is normal stays, until more is taught.

    Raises:
        ModelError: the moments are not loaded.
    """
    known = [model.require_moments()] if model.sees_appearance else []
    for moments in (*known, *([model.motion_.moments] if model.motion_ else [])):
        moments.fade(max(1, round((1 - share) * moments.count)))
