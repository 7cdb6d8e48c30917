"""From what is asked for to an engine."""

from __future__ import annotations

from dataclasses import dataclass

from streamwatch.config.schema import BackboneConfig, Config
from streamwatch.inference.engine import Engine, OnBatch
from streamwatch.inference.precision import half_precision, half_whiteners
from streamwatch.model.embedding.identity import BackboneSpec, build_embedder, resolve_device
from streamwatch.model.scene import TILE_FRAMES

MAY_ROUND = ("auto", "bf16", "fp16")
"""Precisions of which nobody expects the last bits."""


def spec_of(backbone: BackboneConfig) -> BackboneSpec:
    """A configuration's backbone as the model room's own record."""
    return BackboneSpec(backbone.name, backbone.weights, backbone.dims, backbone.seed)


def build_engine(
    spec: BackboneSpec,
    *,
    device: str,
    precision: str,
    tile_frames: int | None = None,
    indices: tuple[int, ...] | None = None,
    on_batch: OnBatch | None = None,
    workers: int | None = None,
) -> Engine:
    """An engine for ``spec``; see ``Engine``. Raises as ``build_embedder`` and ``resolve_device``.

    Args:
        precision: ``auto`` learns in float32, and scores a camera in half precision where the device computes that natively
            and the camera's first frames bear it; its whiteners have 16 bits where its model bears that, so they have where 16
            bits are asked for by name (``inference.precision``).
    """
    resolved = resolve_device(device)
    embedder, identity = build_embedder(spec, device=resolved, precision=precision, indices=indices)
    name = half_precision(resolved) if precision == "auto" else None
    half = build_embedder(spec, device=resolved, precision=name, indices=identity.indices)[0] if name else None
    frames = TILE_FRAMES if tile_frames is None else tile_frames
    return Engine(
        embedder,
        identity,
        resolved,
        tile_frames=frames,
        on_batch=on_batch,
        workers=workers,
        half=half,
        half_whiteners=half_whiteners(resolved) if precision in MAY_ROUND else None,
    )


def engine_of(config: Config, *, tile_frames: int | None = None, on_batch: OnBatch | None = None) -> Engine:
    """The engine that a configuration asks for; raises as ``build_engine``."""
    spec, device, precision = spec_of(config.backbone), config.device, config.precision
    return build_engine(spec, device=device, precision=precision, tile_frames=tile_frames, on_batch=on_batch)


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """An engine that is to be made elsewhere, by a worker."""

    backbone: BackboneSpec
    device: str = "auto"
    precision: str = "auto"

    def build(self) -> Engine:
        """Make it; raises as ``build_engine``."""
        return build_engine(self.backbone, device=self.device, precision=self.precision)

    @classmethod
    def of(cls, config: Config) -> EngineSpec:
        """What a configuration asks for."""
        return cls(spec_of(config.backbone), config.device, config.precision)
