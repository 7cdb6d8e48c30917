"""A residual network's blocks with convolution, bias, addition and ReLU as one call: of cuDNN on a GPU, of oneDNN on a CPU.

One by one each writes and reads the whole activation again: of ResNet-18 in fp16 on an H100 that is as much time as the
convolutions themselves, 30 us a frame, and 16 in one; in bf16 on two cores 5.3 ms, and 3.7 (docs/performance/README.md).
Inference only, with batch norm folded in.
"""

from __future__ import annotations

import logging

import torch
from torch import Tensor, nn

from streamwatch.model.embedding.backbone import TruncatedCnn
from streamwatch.records import INPUT_SIZE_PX

log = logging.getLogger(__name__)
_ROUNDINGS_AT_MOST = {16: 8, 32: 64}
"""By how many roundings of its type, by its bits, a level may differ, of its highest activation. Of 16 bits 1.5 (fp16 and bf16)
were measured. Of 32 bits ResNet-18 has none, Wide-ResNet-50-2 ten: sums of up to 4,608 products, in another order."""


def conv_relu(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """ReLU(conv(x)) in one call."""
    stride, padding, dilation = _geometry(conv)
    if x.device.type == "cuda":
        return torch.cudnn_convolution_relu(x, conv.weight, conv.bias, stride, padding, dilation, conv.groups)
    call = torch.ops.mkldnn._convolution_pointwise  # noqa: SLF001 - what torch.compile makes of it, without its compiler
    made: Tensor = call(x, conv.weight, conv.bias, padding, stride, dilation, conv.groups, "relu", [], "")
    return made


def conv_add_relu(conv: nn.Conv2d, x: Tensor, shortcut: Tensor) -> Tensor:
    """ReLU(conv(x) + shortcut) in one call."""
    stride, padding, dilation = _geometry(conv)
    weight, bias, groups = conv.weight, conv.bias, conv.groups
    if x.device.type == "cuda":
        return torch.cudnn_convolution_add_relu(x, weight, shortcut, 1.0, bias, stride, padding, dilation, groups)
    call = torch.ops.mkldnn._convolution_pointwise.binary  # noqa: SLF001 - as above
    made: Tensor = call(x, shortcut, weight, bias, padding, stride, dilation, groups, "add", 1.0, "relu", [], "")
    return made


def _geometry(conv: nn.Conv2d) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    if isinstance(conv.padding, str):
        raise TypeError("a convolution's padding must be given in pixels")
    return conv.stride, conv.padding, conv.dilation


class FusedBlock(nn.Module):
    """torchvision's BasicBlock or Bottleneck, whose batch norms are folded into its convolutions."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        names = [name for name in ("conv1", "conv2", "conv3") if isinstance(getattr(block, name, None), nn.Conv2d)]
        self.convolutions = nn.ModuleList([block.get_submodule(name) for name in names])
        shortcut = getattr(block, "downsample", None)
        self.shortcut = shortcut if isinstance(shortcut, nn.Module) else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """As the block."""
        *first, last = self.convolutions
        shortcut: Tensor = self.shortcut(x)
        for conv in first:
            x = conv_relu(_convolution(conv), x)
        return conv_add_relu(_convolution(last), x, shortcut)


class FusedStem(nn.Module):
    """The first convolution and its ReLU."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        """As the two."""
        return conv_relu(self.conv, x)


def may_be_fused(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether there is such a call: of 16 bits for a GPU, and for a CPU for which PyTorch was built with oneDNN."""
    if device.type == "cuda":
        return dtype in (torch.float16, torch.bfloat16)
    has_onednn = bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]  # PyTorch's own has no types
    return dtype in (torch.float32, torch.bfloat16) and device.type == "cpu" and has_onednn


def fused(trunk: TruncatedCnn) -> TruncatedCnn:
    """A residual network with its blocks fused; its weights are the same tensors.

    Raises:
        TypeError: a part is not one of torchvision's residual networks.
    """
    return TruncatedCnn([_fused_stage(stage) for stage in trunk.stages], trunk.channels)


def fused_if_it_may(trunk: TruncatedCnn) -> TruncatedCnn:
    """``fused`` where its levels are the trunk's own but for rounding, on its device; else the trunk, and says why."""
    weight = next(trunk.parameters())
    generator = torch.Generator().manual_seed(0)
    images = torch.randn((2, 3, INPUT_SIZE_PX, INPUT_SIZE_PX), generator=generator)
    images = images.to(weight.device, weight.dtype).to(memory_format=torch.channels_last)
    try:
        other = fused(trunk)
        with torch.no_grad():
            pairs = list(zip(trunk(images), other(images), strict=True))
            errors = [(a.float() - b.float()).abs().max() / a.float().abs().max() for a, b in pairs]
            error = float(torch.stack(errors).max())  # NaN if one of them is
    except (RuntimeError, TypeError, AttributeError) as failure:
        log.warning("the network's blocks are computed in parts, which is slower: %s", str(failure).splitlines()[0])
        return trunk
    precision = torch.finfo(weight.dtype)
    if error <= _ROUNDINGS_AT_MOST[precision.bits] * precision.eps:
        return other
    log.warning("the network's blocks are computed in parts, which is slower: at once they are off by %.0e", error)
    return trunk


def _fused_stage(stage: nn.Module) -> nn.Module:
    parts, made = list(stage.children()), list[nn.Module]()
    while parts:
        part = parts.pop(0)
        if isinstance(part, nn.Conv2d):
            made.append(FusedStem(part))
            while parts and isinstance(parts[0], nn.Identity | nn.ReLU):  # what was its batch norm, and its ReLU
                parts.pop(0)
        elif isinstance(part, nn.Sequential):
            made.append(nn.Sequential(*(FusedBlock(block) for block in part)))
        elif isinstance(part, nn.MaxPool2d):
            made.append(part)
        else:
            raise TypeError(f"no residual network has a {type(part).__name__} there")
    return nn.Sequential(*made)


def _convolution(module: nn.Module) -> nn.Conv2d:
    if not isinstance(module, nn.Conv2d):
        raise TypeError("a block holds something else than convolutions")
    return module
