"""`streamwatch bench`: how fast each step is here, and how many cameras this machine carries."""

from __future__ import annotations

import json
import logging
import math
import os
import platform
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import torch
from rich.console import Console
from rich.table import Table

from streamwatch.bench.footage import Camera, learn, write_clip
from streamwatch.bench.planner import LATENCY_P99_S, LOAD, Plan, holds, plan
from streamwatch.bench.stages import BATCHES, OFFLINE_BATCH, StageTime, bare_network_fps, offline_fps, time_stages
from streamwatch.bench.trial import Bench, Trial
from streamwatch.errors import EngineFailure
from streamwatch.inference.engine import Engine, WatchedScene
from streamwatch.inference.factory import build_engine
from streamwatch.model.embedding.identity import BackboneSpec
from streamwatch.model.scene import SceneModel

CLIP_S = 8.0
ROUNDS = 3


class CameraSize(click.ParamType[tuple[int, int]]):
    """``WIDTHxHEIGHT``, both even."""

    name = "WxH"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """The two numbers; a usage error for anything else."""
        width, by, height = str(value).partition("x")
        if not by or not (width.isascii() and width.isdigit() and height.isascii() and height.isdigit()):
            self.fail(f"{value!r} is not like 1280x720", param, ctx)
        if int(width) % 2 or int(height) % 2 or not (16 <= int(width) <= 8192 and 16 <= int(height) <= 8192):
            self.fail(f"{value!r} is not two even numbers from 16 to 8192", param, ctx)
        return int(width), int(height)


@dataclass(frozen=True)
class Measured:
    """What `bench` found on one machine.

    Attributes:
        bare_fps: the network alone, on frames that lie ready.
        trial: of the number of cameras that was asked for; None if that is for the plan to find.
        plan: None if a number was asked for.
        model_bytes: of a camera's Gaussians as they are scored with.
    """

    stages: tuple[StageTime, ...]
    bare_fps: float
    offline_fps: float
    model_bytes: int
    trial: Trial | None
    plan: Plan | None

    def per_second(self, stage: str) -> float:
        """Frames per second of a step, at the batch at which it is fastest."""
        return 1.0 / min(one.per_frame_s for one in self.stages if one.stage == stage)

    @property
    def model_fps(self) -> float:
        """Network, distance and decision one after the other, each at its best batch."""
        return 1.0 / sum(1.0 / self.per_second(stage) for stage in ("embed", "distance", "decide"))


@click.command("bench")
@click.option("--cameras", type=click.IntRange(1, 1000), help="Run just so many cameras. [default: find how many]")
@click.option("--fps", type=click.FloatRange(0.1, 60), default=5.0, show_default=True, help="Frames to score, per camera.")
@click.option("--rate", "rate_hz", type=click.FloatRange(0.1, 120), default=25.0, show_default=True, help="Pictures sent.")
@click.option("--size", type=CameraSize(), default="640x480", show_default=True, help="What the cameras send.")
@click.option("--seconds", type=click.FloatRange(5, 600), default=15.0, show_default=True, help="How long each trial is.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--precision", type=click.Choice(["auto", "float32", "bf16", "fp16"]), default="auto", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def command(
    cameras: int | None,
    fps: float,
    rate_hz: float,
    size: tuple[int, int],
    seconds: float,
    device: str,
    precision: str,
    as_json: bool,
) -> None:
    """Time each step of a frame's way on this machine, then run the daemon on as many cameras as it carries.

    It renders its own footage and learns it, with untrained weights: they cost as much as trained ones.
    """
    logging.getLogger("streamwatch").setLevel(logging.ERROR)
    engine = build_engine(BackboneSpec(weights="untrained"), device=device, precision=precision)
    camera = Camera(*size, rate_hz=max(rate_hz, fps))
    with tempfile.TemporaryDirectory(prefix="streamwatch-bench-") as name:
        folder = Path(name)
        model = learn(folder, engine).model
        bench = Bench(folder, model, camera, fps, device=device, precision=precision)
        measured = _measure(engine, model, bench, cameras, seconds)
    document = _document(measured, bench, engine)
    if as_json:
        click.echo(json.dumps(document, indent=1))
    else:
        _print(measured, bench, engine)
    if not document["carried"]:
        asked = f"{cameras} cameras are" if cameras else "not even one camera is"
        what = f"{asked} not carried" if cameras else f"{asked} carried"
        raise EngineFailure(f"{what} at {fps:g} frames/s", hint="lower --fps, or end what else runs on this machine")


def _measure(engine: Engine, model: SceneModel, bench: Bench, cameras: int | None, seconds: float) -> Measured:
    engine.watch("bench", WatchedScene(model))
    clip = write_clip(bench.folder / "stages.mp4", bench.camera, CLIP_S)
    stages = tuple(time_stages(engine, model, clip, ROUNDS))
    bare_fps, offline = bare_network_fps(engine), offline_fps(engine, clip, model)
    model_bytes = engine.scene_of("bench").require_gaussians().bytes
    engine.unwatch("bench")
    if cameras is not None:
        return Measured(stages, bare_fps, offline, model_bytes, bench.run(cameras, seconds), None)
    # Three times what the network alone could do is an overload whatever the rest costs.
    overload_cameras = max(min(round(3 * bare_fps / bench.fps), 200), 2)
    found = plan(lambda count: bench.run(count, seconds), fps=bench.fps, overload_cameras=overload_cameras)
    return Measured(stages, bare_fps, offline, model_bytes, None, found)


def _document(measured: Measured, bench: Bench, engine: Engine) -> dict[str, Any]:
    """The keys that others read, and all the rest."""
    found = measured.plan
    return {
        "model_fps": round(measured.model_fps, 1),
        "decode_fps": round(measured.per_second("decode"), 1),
        "end_to_end_fps": round(measured.offline_fps, 1),
        "cameras": found.cameras if found else measured.trial.cameras if measured.trial else 0,
        "carried": holds(measured.trial) if measured.trial else bool(found and found.cameras),
        "bare_network_fps": round(measured.bare_fps, 1),
        "bare_network_batch": OFFLINE_BATCH,
        "bytes_per_camera": measured.model_bytes,
        "stages": [{**asdict(one), "per_frame_s": round(one.per_frame_s, 6)} for one in measured.stages],
        "overload": _trial_document(found.overload) if found else None,
        "trials": [_trial_document(one) for one in (found.trials if found else (measured.trial,)) if one],
        "camera": {**asdict(bench.camera), "fps": bench.fps},
        "precision": str(engine.embedder.dtype).removeprefix("torch."),
        "device": torch.cuda.get_device_name(engine.device) if engine.device.type == "cuda" else platform.machine(),
        "cores": os.cpu_count(),
        "torch": torch.__version__,
    }


def _trial_document(trial: Trial) -> dict[str, Any]:
    median_s, high_s, longest_s = (round(value, 4) if math.isfinite(value) else None for value in trial.latency_s)
    return {
        "cameras": trial.cameras,
        "offered_fps": round(trial.offered_fps, 2),
        "scored_fps": round(trial.scored_fps, 2),
        "dropped": round(trial.dropped, 4),
        "latency_s": {"median": median_s, "p99": high_s, "max": longest_s},
        "slowest_camera_fps": round(trial.slowest_fps, 3),
    }


def _print(measured: Measured, bench: Bench, engine: Engine) -> None:
    console = Console(width=None if os.isatty(1) else 110)
    console.print(_stage_table(measured.stages))
    precision = str(engine.embedder.dtype).removeprefix("torch.")
    click.echo(f"the network alone ({precision}, batch {OFFLINE_BATCH}): {measured.bare_fps:.1f} frames/s")
    click.echo(f"a file, from decoding to levels: {measured.offline_fps:.1f} frames/s")
    click.echo(f"memory of one more camera's model: {measured.model_bytes / 1e6:.0f} MB")
    if measured.trial:
        click.echo(_said(measured.trial))
    if measured.plan:
        click.echo(f"overloaded: {_said(measured.plan.overload)}")
        for trial in measured.plan.trials:
            click.echo(f"tried: {_said(trial)}")
    if measured.plan and measured.plan.cameras:
        sent = f"{bench.camera.width}x{bench.camera.height}, {bench.camera.rate_hz:g} pictures/s"
        sends = f"{sent} of which {bench.fps:g} are scored,"
        late_ms = 1e3 * measured.plan.trials[-1].latency_s[1]
        click.echo(
            f"this machine carries {measured.plan.cameras} camera(s) of {sends} with p99 {late_ms:.0f} ms"
            f" ({LOAD:.0%} of what it scores at most; p99 at most {1e3 * LATENCY_P99_S:.0f} ms)"
        )


def _stage_table(stages: tuple[StageTime, ...]) -> Table:
    table = Table(title="milliseconds per frame, by the frames of a batch")
    table.add_column("step")
    for batch in BATCHES:
        table.add_column(str(batch), justify="right")
    times = {(one.stage, one.batch): f"{1e3 * one.per_frame_s:.2f}" for one in stages}
    for stage in dict.fromkeys(one.stage for one in stages):
        table.add_row(stage, *(times.get((stage, batch), "") for batch in BATCHES))
    return table


def _said(trial: Trial) -> str:
    median_s, high_s, _ = trial.latency_s
    return (
        f"{trial.cameras} cameras offer {trial.offered_fps:.0f} frames/s, {trial.scored_fps:.1f} scored ({trial.dropped:.0%}"
        f" dropped), median {1e3 * median_s:.0f} ms, p99 {1e3 * high_s:.0f} ms"
    )
