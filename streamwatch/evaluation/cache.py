"""A scene's result on disk, under a key of everything that determines it: an interrupted evaluation continues."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from streamwatch import __version__
from streamwatch.evaluation.album import Picture
from streamwatch.evaluation.curves import PixelHistograms
from streamwatch.evaluation.datasets.dataset import SceneData
from streamwatch.evaluation.frame_figures import ClipScores
from streamwatch.evaluation.regions import RegionCounts
from streamwatch.evaluation.scene_run import SceneResult, Settings
from streamwatch.files import replacing

_FORMAT = 3
_CLIP_ARRAYS = ("scores", "levels", "labels", "time_s")


def scene_key(scene: SceneData, settings: Settings, weights_sha256: str) -> str:
    """sha256 of the scene's files (path, size, time), the settings, the weights' fingerprint and the version."""
    annotated = {clip.name: (settings.annotated or {}).get(clip.name) for clip in scene.clips}
    digest = hashlib.sha256()
    plain = replace(settings, annotated=None)
    for part in (_FORMAT, __version__, weights_sha256, asdict(plain), scene.frame_rate_hz, repr(annotated), *_files(scene)):
        digest.update(f"{part}\n".encode())
    return digest.hexdigest()[:24]


def _files(scene: SceneData) -> list[str]:
    paths: list[Path] = []
    for source in (*scene.training, *(clip.source for clip in scene.clips)):
        for segment in source.segments:
            paths += segment.images or (Path(segment.location),)
    for clip in scene.clips:
        if clip.truth is not None and clip.truth.masks is not None:
            paths += clip.truth.masks.files
    stats = [(path, path.stat()) for path in paths if path.exists()]
    labels = [f"{clip.name} {clip.truth.labels.tobytes().hex()}" for clip in scene.clips if clip.truth]
    return [f"{path} {stat.st_size} {stat.st_mtime_ns}" for path, stat in stats] + labels


def store_result(result: SceneResult, path: Path) -> None:
    """Write a result: complete, or not at all."""
    arrays: dict[str, np.ndarray] = {
        "pixels.normal": result.pixels.normal,
        "pixels.anomalous": result.pixels.anomalous,
        "pixels.coverage": result.pixels.coverage,
    }
    for clip in result.clips:
        arrays |= {f"clip.{clip.name}.{key}": getattr(clip, key) for key in _CLIP_ARRAYS}
    for number, picture in enumerate(result.gallery):
        arrays[f"picture.{number}"] = np.frombuffer(picture.jpeg, dtype=np.uint8)
    if result.regions is not None:
        arrays |= {"regions.thresholds": result.regions.thresholds, "regions.false": result.regions.false_positives}
        for track, rows in result.regions.detected.items():
            arrays[f"track.{track}"] = np.stack(rows)
    arrays["document"] = np.frombuffer(json.dumps(_document(result)).encode(), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # numpy types the keyword `allow_pickle` only


def _document(result: SceneResult) -> dict[str, Any]:
    return {
        "name": result.name,
        "train_frames": result.train_frames,
        "start_threshold": result.start_threshold,
        "weights_sha256": result.weights_sha256,
        "problems": result.problems,
        "components": result.pixels.components,
        "region_frames": result.regions.frames if result.regions else None,
        "clips": [clip.name for clip in result.clips],
        "tracks": list(result.regions.detected) if result.regions else [],
        "pictures": [[p.kind, p.clip, p.frame, p.ratio] for p in result.gallery],
    }


def load_result(path: Path) -> SceneResult | None:
    """A stored result; None if there is none, or it is damaged and must be made again."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
            return _result(json.loads(arrays["document"].tobytes()), arrays)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _result(document: dict[str, Any], arrays: Any) -> SceneResult:
    regions = None
    if document["region_frames"] is not None:
        regions = RegionCounts(arrays["regions.thresholds"], document["region_frames"])
        regions.false_positives = arrays["regions.false"]
        regions.detected = {track: list(arrays[f"track.{track}"]) for track in document["tracks"]}
    threshold = document["start_threshold"]
    clips = [_clip(name, arrays, threshold) for name in document["clips"]]
    normal, anomalous, coverage = (arrays[f"pixels.{kind}"] for kind in ("normal", "anomalous", "coverage"))
    pixels = PixelHistograms(normal, anomalous, coverage, document["components"])
    gallery = [
        Picture(kind, clip, frame, ratio, arrays[f"picture.{i}"].tobytes())
        for i, (kind, clip, frame, ratio) in enumerate(document["pictures"])
    ]
    return SceneResult(
        name=document["name"],
        train_frames=document["train_frames"],
        start_threshold=threshold,
        clips=clips,
        pixels=pixels,
        regions=regions,
        gallery=gallery,
        problems=document["problems"],
        weights_sha256=document["weights_sha256"],
    )


def _clip(name: str, arrays: Any, threshold: float) -> ClipScores:
    return ClipScores(name, **{key: arrays[f"clip.{name}.{key}"] for key in _CLIP_ARRAYS}, threshold=threshold)
