"""What makes two embeddings comparable, and the one factory that builds an embedder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate, pairwise

import torch

from streamwatch.errors import DeviceUnavailable, ModelMismatch
from streamwatch.model.embedding.backbone import architecture, fold_batch_norm
from streamwatch.model.embedding.embedder import Embedder, choose_channels, split_by_level
from streamwatch.model.embedding.fused import fused_if_it_may, may_be_fused
from streamwatch.model.embedding.weights import load_backbone
from streamwatch.records import INPUT_SIZE_PX

RESIZE_KERNEL = "swscale bicubic, accurate_rnd, full_chr_h_int"
_DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, "reference": torch.float64}


@dataclass(frozen=True, slots=True)
class BackboneSpec:
    """Which embedding is asked for. ``dims`` None means the paper's number for the backbone."""

    name: str = "resnet18"
    weights: str = "default"
    dims: int | None = None
    seed: int = 1024


@dataclass(frozen=True, slots=True)
class EmbeddingIdentity:
    """Everything that determines an embedding; it stands in every model file."""

    backbone: str
    weights: str
    weights_sha256: str
    layer_names: tuple[str, ...]
    dims: int
    seed: int
    indices: tuple[int, ...]
    input_size_px: int = INPUT_SIZE_PX
    resize_kernel: str = RESIZE_KERNEL

    def channels_of_layers(self) -> list[slice]:
        """Where each level's channels lie in an embedding."""
        counts = [len(chosen) for chosen in split_by_level(self.indices, architecture(self.backbone).channels)]
        ends = list(accumulate(counts, initial=0))
        return [slice(a, b) for a, b in pairwise(ends)]

    def require_same(self, other: EmbeddingIdentity, *, where: object) -> None:
        """Check that embeddings of ``other`` may be compared with this one's.

        ``weights`` is only a label and ``seed`` only the origin of ``indices``: neither is compared.

        Raises:
            ModelMismatch: naming the first difference.
        """
        mine, theirs = asdict(self), asdict(other)
        for key in ("backbone", "dims", "indices", "weights_sha256", "input_size_px", "resize_kernel"):
            if mine[key] != theirs[key]:
                shown = "" if key == "indices" else f" ({_short(mine[key])}, and {_short(theirs[key])} is in use)"
                raise ModelMismatch(
                    f"the model was made with another {key}{shown}",
                    where=where,
                    hint="use the backbone it was made with, or fit it again",
                )


def _short(value: object) -> str:
    return str(value)[:12]


def resolve_device(name: str) -> torch.device:
    """``auto``, ``cpu``, ``cuda`` or ``cuda:N`` as a device that is there.

    Raises:
        DeviceUnavailable: it is not.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceUnavailable(f"unknown device {name!r}", hint="use auto, cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise DeviceUnavailable(f"device {name!r} is not supported", hint="use auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise DeviceUnavailable(f"device {name!r} is not on this machine", hint="use device: auto or cpu")
    return device


def resolve_dtype(precision: str, device: torch.device) -> torch.dtype:
    """What the backbone computes in. ``auto`` is float32, which all is learned in; see ``inference.precision`` for the rest.

    Raises:
        DeviceUnavailable: fp16 on a CPU, which has no fast kernels for it.
    """
    if precision == "fp16" and device.type == "cpu":
        raise DeviceUnavailable("precision fp16 needs a CUDA device", hint="use float32 or bf16 on a CPU")
    return _DTYPES["float32" if precision == "auto" else precision]


def build_embedder(
    spec: BackboneSpec,
    *,
    device: torch.device,
    precision: str = "auto",
    indices: Sequence[int] | None = None,
) -> tuple[Embedder, EmbeddingIdentity]:
    """The embedder for ``spec`` on ``device``, and its identity.

    Args:
        indices: kept channels, where a model file gives them; else they are drawn from ``spec.seed``.

    Raises:
        WeightsError, UsageError, DeviceUnavailable: see ``load_backbone``, ``architecture``, ``resolve_dtype``.
    """
    torch.backends.cudnn.allow_tf32 = False  # float32 is float32: TF32's 11 bits of mantissa change maps by a thousandth
    arch = architecture(spec.name)
    dtype = resolve_dtype(precision, device)
    chosen = tuple(indices) if indices else choose_channels(sum(arch.channels), spec.dims or arch.default_dims, spec.seed)
    loaded = load_backbone(arch, spec.weights, spec.seed)
    trunk = loaded.trunk
    if precision != "reference":
        fold_batch_norm(trunk)
    trunk.to(device, dtype).to(memory_format=torch.channels_last)
    if precision != "reference" and arch.residual and may_be_fused(device, dtype):
        trunk = fused_if_it_may(trunk)
    identity = EmbeddingIdentity(arch.name, loaded.weights, loaded.sha256, arch.layer_names, len(chosen), spec.seed, chosen)
    return Embedder(trunk, chosen, dtype=dtype).to(device), identity
