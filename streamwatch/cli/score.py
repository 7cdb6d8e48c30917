"""`streamwatch score`: scores, heat maps and an overlay video of a recording."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import click
import numpy as np

from streamwatch.cli.options import device_option, frame_rate_option, precision_option, warn_if_untrained
from streamwatch.cli.progress import frame_progress
from streamwatch.clock import SystemClock
from streamwatch.errors import UsageError
from streamwatch.files import require_folder_of, write_atomically
from streamwatch.inference.engine import Engine, WatchedScene
from streamwatch.inference.factory import build_engine
from streamwatch.inference.offline import score_frames
from streamwatch.learning.footage import Footage, expected_frames
from streamwatch.model.artifact.serialization import load_model
from streamwatch.model.embedding.identity import BackboneSpec
from streamwatch.model.scene import SceneModel
from streamwatch.records import SourceSummary
from streamwatch.scores import FrameScore
from streamwatch.video.output import MapFolder, OverlayStyle, OverlayVideo, Sink
from streamwatch.video.reader import FrameReader, RetentionOptions
from streamwatch.video.sources import Source, parse_source
from streamwatch.video.streams.opener import PyAvOpener

_CAMERA = "score"


@click.command("score")
@click.argument("source", metavar="SOURCE")
@click.option("--model", "model_path", type=click.Path(path_type=Path), required=True, help="Model file made by `fit`.")
@click.option("--out", type=click.Path(path_type=Path), help="CSV of frame,time_s,score,level; without it, on stdout.")
@click.option("--maps", "maps_folder", type=click.Path(path_type=Path), help="Write every map (.npy) and overlay (.png) here.")
@click.option("--video", "video_path", type=click.Path(path_type=Path), help="Write a heat-map overlay video (.mp4).")
@click.option("--weights", help="Weights, if not those that the model file names.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@device_option
@precision_option
@frame_rate_option
def command(
    source: str,
    model_path: Path,
    out: Path | None,
    maps_folder: Path | None,
    video_path: Path | None,
    weights: str | None,
    as_json: bool,
    device: str,
    precision: str,
    frame_rate: float,
) -> None:
    """Score every frame of SOURCE: how far it is from what the model learned."""
    parsed = parse_source(source, frame_rate_hz=frame_rate)
    if parsed.live:
        raise UsageError("a live source never ends", hint="use `streamwatch run` for cameras")
    if out is not None:
        require_folder_of(out)
    model, _ = load_model(model_path)
    engine = _engine_for(model, weights, device, precision)
    engine.watch(_CAMERA, WatchedScene(model))
    scored, summary = _score(parsed, engine, model, maps_folder, video_path)
    for warning in summary.warnings:
        click.echo(f"warning: {warning}", err=True)
    _write(scored, summary, model, source, out, as_json)


def _engine_for(model: SceneModel, weights: str | None, device: str, precision: str) -> Engine:
    identity = model.identity
    warn_if_untrained(weights or identity.weights)
    spec = BackboneSpec(identity.backbone, weights or identity.weights, identity.dims, identity.seed)
    return build_engine(spec, device=device, precision=precision, indices=identity.indices)


Row = tuple[int, float, float, float]
"""Frame number, time, score and level."""


def _score(
    source: Source, engine: Engine, model: SceneModel, maps_folder: Path | None, video_path: Path | None
) -> tuple[list[Row], SourceSummary]:
    opener = PyAvOpener()
    reader = FrameReader(
        _CAMERA,
        source,
        opener=opener,
        clock=SystemClock(),
        retention=RetentionOptions(pictures=bool(maps_folder or video_path)),
        motion_step_s=model.motion_step_s if model.sees_motion else None,
    )
    rows: list[Row] = []
    style = _style(model)
    with ExitStack() as stack:
        sinks: list[Sink] = []
        if maps_folder:
            sinks.append(stack.enter_context(MapFolder(maps_folder, style)))
        if video_path:
            sinks.append(stack.enter_context(OverlayVideo(video_path, style)))
        advance = stack.enter_context(frame_progress("score", expected_frames(Footage((source,)), opener)))
        for scored in _scored(engine, reader):
            rows.append((scored.frame.index, scored.frame.time_s, scored.score, scored.level))
            for sink in sinks:
                sink.add(scored)
            advance(1)
    return rows, reader.summary()


def _scored(engine: Engine, reader: FrameReader) -> Iterator[FrameScore]:
    with closing(score_frames(engine, reader.frames())) as scores:
        yield from scores


def _style(model: SceneModel) -> OverlayStyle:
    calibration = model.calibration_
    if calibration is None:
        raise UsageError("the model has no thresholds", hint="fit it again")
    return OverlayStyle(0.75 * calibration.end_threshold, 1.5 * calibration.start_threshold, calibration.start_threshold)


def _write(rows: list[Row], summary: SourceSummary, model: SceneModel, source: str, out: Path | None, as_json: bool) -> None:
    text = _csv(rows)
    if out is not None:
        write_atomically(out, text)
    if as_json:
        scores = np.array([score for _, _, score, _ in rows])
        document = {
            "source": source,
            "backbone": model.identity.backbone,
            "weights": model.identity.weights,
            "frames": len(rows),
            "damaged": summary.decode_errors,
            "warnings": list(summary.warnings),
            "score": {"min": float(scores.min()), "mean": float(scores.mean()), "max": float(scores.max())},
            "features": model.features,
            "threshold": model.calibration_.start_threshold if model.calibration_ else None,
            "scores": [{"frame": f, "time_s": t, "score": s, "level": v} for f, t, s, v in rows] if out is None else None,
        }
        click.echo(json.dumps(document))
    elif out is None:
        click.echo(text, nl=False)


def _csv(rows: list[Row]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(("frame", "time_s", "score", "level"))
    writer.writerows((frame, f"{time_s:.6f}", f"{score:.6f}", f"{level:.6f}") for frame, time_s, score, level in rows)
    return buffer.getvalue()
