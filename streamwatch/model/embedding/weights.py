"""Where a backbone's weights come from, and their fingerprint.

``default`` is torchvision's IMAGENET1K file through torchvision's own weights API and cache, ``builtin`` what
ships with this package (equal to ``untrained`` until a trained file does), ``untrained`` torchvision's seeded
initialisation, and anything else a file with a state dict, or a folder that holds torchvision's files: its cache, as it was
copied from another machine.
"""

from __future__ import annotations

import hashlib
import pickle
import re
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from streamwatch.errors import SourceNotFound, WeightsError
from streamwatch.model.embedding.backbone import Architecture, TruncatedCnn, build_backbone, untrained_model

NAMED_WEIGHTS = ("default", "builtin", "untrained")
_DOWNLOAD_TIMEOUT_S = 30.0
_HASH_IN_NAME = re.compile(r"-([0-9a-f]{8,})\.pth$")

StateDict = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class LoadedBackbone:
    """A trunk, and what its weights are.

    Attributes:
        trunk: the truncated network, float32 on the CPU.
        weights: ``default``, ``untrained`` or the file's path.
        sha256: fingerprint of the trunk's tensors, see ``fingerprint``.
    """

    trunk: TruncatedCnn
    weights: str
    sha256: str

    @property
    def trained(self) -> bool:
        """Whether the weights were learned from data."""
        return self.weights != "untrained"


def load_backbone(arch: Architecture, weights: str, seed: int) -> LoadedBackbone:
    """Build ``arch`` with the weights asked for; never falls back to others.

    Raises:
        WeightsError: they cannot be had, do not fit the architecture, or are not finite.
        SourceNotFound: a weights file does not exist.
    """
    label = "untrained" if weights == "builtin" else weights
    model = untrained_model(arch, seed)
    if label != "untrained":
        state = default_state(arch) if label == "default" else _state_at(arch, Path(label))
        _load_strictly(model, state, arch, label)
    sha256 = fingerprint(model.state_dict())
    return LoadedBackbone(build_backbone(arch, model), label, sha256)


def fingerprint(state: StateDict) -> str:
    """sha256 over the tensors that the trunk uses (torchvision's name, type, shape, bytes, in name order).

    Of the tensors and not of a file: the same weights as .pth and .safetensors are the same backbone.
    """
    digest = hashlib.sha256()
    for name, value in sorted((k, v) for k, v in state.items() if not _is_tail(k)):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.contiguous().cpu().numpy().tobytes())
    return digest.hexdigest()


def cached_file(arch: Architecture) -> Path:
    """Where torchvision's cache keeps the default weights of ``arch``, present or not."""
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(str(arch.weights.url)).name


def fetch_default(arch: Architecture, *, progress: bool) -> Path:
    """Download the default weights into torchvision's cache unless they are there, checking their hash.

    Raises:
        WeightsError: they cannot be downloaded; the message names the three ways out.
    """
    if not cached_file(arch).exists():
        try:
            with _socket_timeout(_DOWNLOAD_TIMEOUT_S):
                arch.weights.get_state_dict(progress=progress, check_hash=True)
        except (OSError, HTTPException, RuntimeError) as error:
            raise WeightsError(
                f"default weights of {arch.name} cannot be had ({str(error) or type(error).__name__})",
                hint=_three_ways_out(arch),
            ) from error
    return cached_file(arch)


def _state_at(arch: Architecture, path: Path) -> StateDict:
    """Of a file, or of the architecture's in a folder; checked against the hash in its name, where it has one."""
    file = mirrored_file(arch, path) if path.is_dir() else path
    if file.is_file():
        verify_file_name_hash(file)
    return file_state(file)


def mirrored_file(arch: Architecture, folder: Path) -> Path:
    """The default weights of ``arch`` in a folder like torchvision's cache: beside each other, or under hub/checkpoints.

    Torchvision has published the same weights under other hashes, too: where the present name is not there, another will do
    that differs in its hash alone.

    Raises:
        WeightsError: none is there, or several whose hashes are not the present one.
    """
    name = cached_file(arch).name
    places = [place for place in (folder, folder / "checkpoints", folder / "hub/checkpoints") if place.is_dir()]
    exact = next((place / name for place in places if (place / name).is_file()), None)
    if exact is not None:
        return exact
    found = [path for place in places for path in sorted(place.glob(f"{name.rpartition('-')[0]}-*.pth"))]
    if len(found) == 1:
        return found[0]
    what = "holds no weights" if not found else f"holds {len(found)} weights files"
    raise WeightsError(f"{what} of {arch.name}", where=folder, hint=f"copy {name} there")


def _three_ways_out(arch: Architecture) -> str:
    return (
        f"(1) run `streamwatch weights fetch {arch.name}` where there is a network and copy "
        f"{cached_file(arch).name} to {cached_file(arch).parent}, (2) give a state dict with --weights FILE, or a folder like "
        "that one with --weights FOLDER, or (3) use --weights untrained, which needs no file"
    )


def default_state(arch: Architecture) -> StateDict:
    """torchvision's IMAGENET1K state dict, from its cache or the network."""
    path = fetch_default(arch, progress=False)
    verify_file_name_hash(path)
    return file_state(path)


def verify_file_name_hash(path: Path) -> str:
    """sha256 of a downloaded weights file, checked against the prefix in its name.

    Raises:
        WeightsError: the file is not the one that was published.
    """
    with path.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    match = _HASH_IN_NAME.search(path.name)
    if match and not actual.startswith(match[1]):
        raise WeightsError("the file's sha256 does not match its name", where=path, hint="delete it and fetch it again")
    return actual


def file_state(path: Path) -> StateDict:
    """A state dict from a safetensors file or a torch file (``weights_only``: it cannot run code).

    Raises:
        SourceNotFound: no such file.
        WeightsError: it holds no state dict.
    """
    if not path.is_file():
        raise SourceNotFound("no such weights file", where=path, hint=f"give a file or one of {', '.join(NAMED_WEIGHTS)}")
    try:
        state: Any = load_file(path) if path.suffix == ".safetensors" else _torch_file(path)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise WeightsError("not a readable state dict", where=path, hint="give a .safetensors or torch.save file") from error
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise WeightsError("holds something other than a state dict", where=path, hint="save model.state_dict()")
    return state


def _torch_file(path: Path) -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch's doubts about a file end in an error of ours, or in nothing
        return torch.load(path, map_location="cpu", weights_only=True)


def _load_strictly(model: nn.Module, state: StateDict, arch: Architecture, label: str) -> None:
    """Load what the trunk needs; a classifier that is missing or of another size does not matter."""
    own = model.state_dict()
    usable = {k: v for k, v in state.items() if k in own and own[k].shape == v.shape}
    lacking = [k for k in own if k not in usable and not _is_tail(k)]
    if lacking:
        raise WeightsError(
            f"not weights of {arch.name}: {len(lacking)} tensors lack or have another shape, first {lacking[0]}",
            where=label,
            hint="give the backbone that the file was saved from",
        )
    model.load_state_dict(usable, strict=False)


def _is_tail(key: str) -> bool:
    """Whether a tensor belongs to the part that is cut off, or is a counter that inference never reads."""
    if key.endswith("num_batches_tracked"):
        return True
    return key.startswith(("fc.", "layer4.", "classifier.", "features.6.", "features.7.", "features.8."))


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    """torch.hub opens its URL without a time limit; this gives it one."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
