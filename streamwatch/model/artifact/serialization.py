"""The model file: one safetensors file per camera, no pickle, written atomically.

Its format is fixed (docs/decisions/0008-model-file.md). Tensors of appearance: ``mean`` (P, d), ``whitener`` (P, d(d+1)/2),
``moments.shift`` (P, d), ``moments.s1`` (P, d), ``moments.s2`` (P, d(d+1)/2). Of motion: ``motion.shift``, ``motion.s1``,
``motion.s2`` (P, 1). Of both: ``tail.appearance`` and ``tail.motion`` (257,). Always ``calibration.tail`` (K,), and
``calibration.peaks`` (K,), zone after zone and field after field; ``allowance`` (h, w), the suppression map, if people called
events normal; ``normal.FIELD.at_s``, ``.levels`` and ``.blocks`` (``normal_levels``) if they are known. Whiteners and moments
are lower triangles packed row by row: half the size.

A file of format version 1 says nothing of ``units``: its fields are judged together, its motion is a Gaussian
of speed with a ``shrinkage``, and its ``normal.at_s`` and so on name no field. It is read, watched and written as it is.
The metadata is one JSON document under ``streamwatch``, with a sha256 over itself and over every tensor, so that an altered
file is told from an intact one.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from streamwatch import __version__
from streamwatch.errors import ModelFileError, ModelMissing
from streamwatch.files import replacing
from streamwatch.model.artifact.packing import pack_triangles, pack_whiteners, unpack_triangles, unpack_whiteners
from streamwatch.model.artifact.validation import check_document, check_tensors
from streamwatch.model.calibration.normal_levels import NormalLevels
from streamwatch.model.calibration.thresholds import Calibration, NormalPeaks
from streamwatch.model.embedding.identity import EmbeddingIdentity
from streamwatch.model.normality.moments import Moments
from streamwatch.model.scene import SceneModel
from streamwatch.model.scoring.fusion import Features, Fusion
from streamwatch.model.scoring.gaussian_motion import GaussianMotion, fit_motion
from streamwatch.model.scoring.levels import FieldUnits
from streamwatch.model.scoring.motion_field import MotionField
from streamwatch.model.scoring.tails import Tail

FORMAT_VERSION = 2
_OLDER_VERSION = 1
"""Of a model whose fields are judged together; what is older is written as it is."""
_KEY = "streamwatch"
_LEVELS = ("at_s", "levels", "blocks")


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a model came from.

    Attributes:
        sources: the footage, as the user named it (credentials masked).
        fitted_at_s: Unix time of the fit.
        footage_s: seconds of footage learned.
        learned_at_s: Unix time of the fit that it began with; later nights leave it. 0 for older files.
    """

    sources: tuple[str, ...] = ()
    fitted_at_s: float = 0.0
    footage_s: float = 0.0
    learned_at_s: float = 0.0


def save_model(scene: SceneModel, path: Path, provenance: Provenance) -> None:
    """Write ``scene`` to ``path``: complete, or not at all.

    Raises:
        ModelFileError: it cannot be written there.
    """
    tensors = _tensors(scene)
    document = _metadata(scene, provenance)
    document["sha256"] = _digest(document, tensors)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.touch()
            mode = temporary.stat().st_mode & 0o777  # the library's own file would be readable by nobody else
            save_file(tensors, temporary, metadata={_KEY: json.dumps(document, sort_keys=True)})
            temporary.chmod(mode)
    except (OSError, SafetensorError) as error:
        raise ModelFileError(f"cannot be written ({error})", where=path, hint="check the folder and free space") from error


def load_model(path: Path, *, with_moments: bool = False) -> tuple[SceneModel, Provenance]:
    """Read a model file.

    Args:
        with_moments: also load the moments, to update or merge it: they double the memory.

    Raises:
        ModelMissing: no such file.
        ModelFileError: truncated, altered, or of another format version.
    """
    document, tensors = _read(path)
    try:
        scene = _scene(document, tensors, with_moments)
        provenance = Provenance(**{**document["provenance"], "sources": tuple(document["provenance"]["sources"])})
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ModelFileError(f"incomplete model file ({error})", where=path, hint="fit the camera again") from error
    return scene, provenance


def read_metadata(path: Path) -> dict[str, Any]:
    """The metadata document of a model file, its tensors unread. Raises as ``load_model``."""
    if not path.is_file():
        raise ModelMissing("no such model file", where=path, hint="learn it with `streamwatch fit`")
    try:
        with safe_open(path, framework="pt") as file:
            raw = (file.metadata() or {}).get(_KEY)
    except (SafetensorError, OSError) as error:
        raise ModelFileError("truncated or not a model file", where=path, hint="fit the camera again") from error
    if raw is None:
        raise ModelFileError("a safetensors file, but not a streamwatch model", where=path)
    return _document(raw, path)


def _document(raw: str, path: Path) -> dict[str, Any]:
    try:
        document = json.loads(raw, parse_constant=_refuse_constant)
        version = document["format_version"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ModelFileError("its metadata is not readable", where=path, hint="fit the camera again") from error
    if version not in (_OLDER_VERSION, FORMAT_VERSION):
        raise ModelFileError(
            f"model format version {version}, and this streamwatch reads {_OLDER_VERSION} and {FORMAT_VERSION}",
            where=path,
            hint="use the streamwatch that wrote it, or fit the camera again",
        )
    try:
        check_document(document)
    except ValueError as error:
        raise ModelFileError(f"incomplete model file ({error})", where=path, hint="fit the camera again") from error
    return dict(document)


def _refuse_constant(name: str) -> float:
    """NaN and infinities are no JSON, and nothing that a model says."""
    raise ValueError(f"{name} is no number")


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    document = read_metadata(path)
    try:
        with safe_open(path, framework="pt") as file:
            # Cloned, because the file is mapped: whoever wrote over it in place would take a running daemon down (SIGBUS).
            names = file.keys()
            tensors = {name: file.get_tensor(name).clone() for name in names}
    except (SafetensorError, OSError) as error:
        raise ModelFileError("truncated model file", where=path, hint="fit the camera again") from error
    if _digest(document, tensors) != document.get("sha256"):
        raise ModelFileError(
            "the file was altered: its sha256 does not match", where=path, hint="restore it or fit the camera again"
        )
    try:
        check_tensors(document, tensors)
    except ValueError as error:
        raise ModelFileError(f"incomplete model file ({error})", where=path, hint="fit the camera again") from error
    return document, tensors


def _tensors(scene: SceneModel) -> dict[str, Tensor]:
    if scene.calibration_ is None:
        raise ModelFileError("only a fitted model can be saved")
    peaks = [peak for zone in scene.calibration_.zones for peak in zone.peaks]
    tensors = {
        "calibration.tail": torch.tensor(scene.calibration_.tail, dtype=torch.float64),
        "calibration.peaks": torch.tensor(peaks, dtype=torch.float64),
    }
    if scene.sees_appearance:
        tensors |= _appearance_tensors(scene)
    if scene.motion_:
        moments = scene.motion_.moments
        tensors |= {"motion.shift": moments.shift, "motion.s1": moments.s1, "motion.s2": pack_triangles(moments.s2)}
    if scene.fusion_:
        tensors["tail.appearance"] = torch.from_numpy(scene.fusion_.appearance.knots)
        tensors["tail.motion"] = torch.from_numpy(scene.fusion_.motion.knots)
    if scene.suppression_ is not None:
        tensors["allowance"] = torch.from_numpy(scene.suppression_)
    for field, levels in (scene.levels_ or {}).items():
        tensors |= {_level_key(field, name): torch.from_numpy(getattr(levels, name)) for name in _LEVELS}
    return {name: tensor.contiguous().cpu() for name, tensor in tensors.items()}


def _level_key(field: str, name: str) -> str:
    return f"normal.{field}.{name}" if field else f"normal.{name}"


def _appearance_tensors(scene: SceneModel) -> dict[str, Tensor]:
    gaussians, moments = scene.gaussians_, scene.moments_
    if gaussians is None or moments is None:
        raise ModelFileError("only a fitted model with its moments can be saved")
    return {
        "mean": gaussians.mean,
        "whitener": pack_whiteners(gaussians),
        "moments.shift": moments.shift,
        "moments.s1": moments.s1,
        "moments.s2": pack_triangles(moments.s2),
    }


def _metadata(scene: SceneModel, provenance: Provenance) -> dict[str, Any]:
    return {
        "format_version": _OLDER_VERSION if scene.units_ is None else FORMAT_VERSION,
        "streamwatch_version": __version__,
        "identity": _identity_facts(scene.identity),
        "trained_backbone": scene.identity.weights != "untrained",
        "grid": list(scene.grid),
        "eps": scene.eps,
        "frames": scene.frames,
        "regime": scene.regime,
        "fields": ["appearance", "motion"] if scene.features == "both" else [scene.features],
        "motion": _motion_facts(scene),
        "fusion": _fusion_facts(scene.fusion_),
        "normal_levels": _level_facts(scene),
        "samples": scene.samples_,
        "units": asdict(scene.units_) if scene.units_ else None,
        "calibration": _calibration_facts(scene.calibration_) if scene.calibration_ else {},
        "provenance": asdict(provenance),
    }


def _identity_facts(identity: EmbeddingIdentity) -> dict[str, Any]:
    """The file's key ``level_names`` is older than the word layer."""
    facts = asdict(identity)
    return {**{name: value for name, value in facts.items() if name != "layer_names"}, "level_names": facts["layer_names"]}


def _calibration_facts(calibration: Calibration) -> dict[str, Any]:
    facts = asdict(calibration)
    facts.pop("tail")
    for zone in facts["zones"]:
        zone["peaks"] = len(zone["peaks"])
        del zone["at_least"], zone["cap"]  # of what was watched, which is not the file's
    return facts


def _motion_facts(scene: SceneModel) -> dict[str, Any] | None:
    if scene.motion_ is None:
        return None
    known = scene.motion_
    own = {"size_cells": known.size_cells} if isinstance(known, MotionField) else {"shrinkage": known.shrinkage}
    return {"frames": known.moments.count, "step_s": known.step_s, **own}


def _level_facts(scene: SceneModel) -> dict[str, list[str]] | list[str] | None:
    """Zones by field; an older file has only zones."""
    if not scene.levels_:
        return None
    zones = {field: list(levels.zones) for field, levels in scene.levels_.items()}
    return zones.get("", zones)


def _fusion_facts(fusion: Fusion | None) -> dict[str, Any] | None:
    if fusion is None:
        return None
    tails = {name: {"scale": tail.scale, "count": tail.count} for name, tail in _named_tails(fusion)}
    return {"lift": fusion.lift, **tails}


def _named_tails(fusion: Fusion) -> tuple[tuple[str, Tail], tuple[str, Tail]]:
    return ("appearance", fusion.appearance), ("motion", fusion.motion)


def _digest(document: dict[str, Any], tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    body = {key: value for key, value in document.items() if key != "sha256"}
    digest.update(json.dumps(body, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)  # whatever its kind: numpy knows no bfloat16
    return digest.hexdigest()


def _scene(document: dict[str, Any], tensors: dict[str, Tensor], with_moments: bool) -> SceneModel:
    identity = dict(document["identity"])
    identity["layer_names"] = tuple(identity.pop("level_names"))
    identity["indices"] = tuple(identity["indices"])
    height, width = document["grid"]
    motion = document["motion"] or {"step_s": 0.2}
    scene = SceneModel(
        EmbeddingIdentity(**identity),
        features=_FEATURES_OF[tuple(document["fields"])],
        grid=(int(height), int(width)),
        eps=float(document["eps"]),
        motion_step_s=float(motion["step_s"]),
    )
    if scene.sees_appearance:
        _restore_appearance(scene, document, tensors, with_moments)
    if scene.sees_motion:
        scene.motion_ = _motion(motion, tensors)
    if scene.features == "both":
        scene.fusion_ = _fusion(document["fusion"], tensors)
    scene.calibration_ = _calibration(document["calibration"], tensors)
    scene.suppression_ = tensors["allowance"].numpy() if "allowance" in tensors else None
    scene.samples_ = float(document.get("samples", 0.0))
    scene.units_ = FieldUnits(**units) if (units := document.get("units")) else None
    scene.levels_ = _levels(document.get("normal_levels"), tensors)
    scene.regime = document.get("regime")
    return scene


def _levels(facts: dict[str, list[str]] | list[str] | None, tensors: dict[str, Tensor]) -> dict[str, NormalLevels] | None:
    if not facts:
        return None
    zones = facts if isinstance(facts, dict) else {"": facts}
    return {
        field: NormalLevels(tuple(names), *(tensors[_level_key(field, name)].numpy() for name in _LEVELS))
        for field, names in zones.items()
    }


def _calibration(facts: dict[str, Any], tensors: dict[str, Tensor]) -> Calibration:
    peaks = iter(tensors["calibration.peaks"].tolist() if "calibration.peaks" in tensors else [])
    zones = [{**zone, "peaks": tuple(islice(peaks, zone["peaks"]))} for zone in facts.get("zones", [])]
    tail = tuple(tensors["calibration.tail"].tolist())
    return Calibration(**{**facts, "tail": tail, "zones": tuple(NormalPeaks(**zone) for zone in zones)})


_FEATURES_OF: dict[tuple[str, ...], Features] = {
    ("appearance",): "appearance",
    ("motion",): "motion",
    ("appearance", "motion"): "both",
}


def _restore_appearance(scene: SceneModel, document: dict[str, Any], tensors: dict[str, Tensor], with_moments: bool) -> None:
    scene.gaussians_ = unpack_whiteners(tensors["whitener"], tensors["mean"])
    if with_moments:
        s2 = unpack_triangles(tensors["moments.s2"], scene.identity.dims, symmetric=True)
        scene.moments_ = Moments(int(document["frames"]), tensors["moments.shift"], tensors["moments.s1"], s2)


def _motion(facts: dict[str, Any], tensors: dict[str, Tensor]) -> MotionField | GaussianMotion:
    shift = tensors["motion.shift"]
    s2 = unpack_triangles(tensors["motion.s2"], int(shift.shape[1]), symmetric=True)
    moments = Moments(int(facts["frames"]), shift, tensors["motion.s1"], s2)
    if "size_cells" in facts:
        return MotionField(moments, float(facts["size_cells"]), float(facts["step_s"]))
    shrinkage = float(facts["shrinkage"])
    return GaussianMotion(moments, shrinkage, fit_motion(moments, shrinkage), float(facts["step_s"]))


def _fusion(facts: dict[str, Any], tensors: dict[str, Tensor]) -> Fusion:
    appearance, motion = (
        Tail(tensors[f"tail.{name}"].numpy(), float(facts[name]["scale"]), int(facts[name]["count"]))
        for name in ("appearance", "motion")
    )
    return Fusion(appearance, motion, float(facts["lift"]))
