"""The daemon end to end: real footage, two cameras at once, signals, the page and the metrics."""

from __future__ import annotations

import base64
import json
import math
import os
import select
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import av
import httpx
import numpy as np
import pytest

from streamwatch.config.loading import load_config
from streamwatch.daemon.assembly import Surroundings
from streamwatch.daemon.service import Service
from streamwatch.detection.publisher import Subscribers
from streamwatch.errors import StoreError
from streamwatch.evidence.layout import KINDS
from streamwatch.inference.factory import build_engine, spec_of
from streamwatch.model.scoring.temporal import TIME_CONSTANT_S
from streamwatch.records import EventChange
from streamwatch.scenes.model_files import load_scenes
from streamwatch.simulator.authentication import Credentials
from streamwatch.simulator.media import encode_track
from streamwatch.simulator.server import SimulatedCamera
from streamwatch.store.event_store import EventStore
from streamwatch.store.sessions import open_database
from tests.conftest import QUICK_PRECISION, REPOSITORY, Cli, encode, moving_square, read_moving, run_command, shared_file
from tools.receiver import running_receiver, status

pytestmark = pytest.mark.slow(150)

STOPS_WITHIN_S = 5.0
SECRET = "s3cret-w0rd"
PAGES = ("events", "review", "deliveries", "system", "setup", "setup/closed", "cameras/locked")
READ = (
    *("events", "cameras", "cameras/locked", "config", "config/schema", "endpoints", "deliveries", "system", "summary"),
    *("audit", "models/yard", "stream?once=true", "openapi.json"),
)
"""Of the API."""


def cut(source: Path, first: Path, rest: Path, shares: tuple[float, float]) -> int:
    """Encode anew what a video shows up to the first share of its frames, and from the second on; the latter's frames."""
    with av.open(str(source)) as container:
        pictures = [np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8) for frame in container.decode(video=0)]
    until, since = (int(len(pictures) * share) for share in shares)
    encode(first, iter(pictures[:until]))
    encode(rest, iter(pictures[since:]))
    return len(pictures) - since


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def write_config(folder: Path, cameras: dict[str, dict[str, object]], **more: object) -> Path:
    base = {
        "version": 1,
        "data_dir": str(folder / "data"),
        "backbone": {"weights": "untrained", "dims": 30},
        "precision": QUICK_PRECISION,
        "defaults": {"fps": "native", "min_duration": "500ms", "cooldown": "2s", "end_delay": "1s"},
        "cameras": cameras,
        "metrics": {"listen": None},
        "web": {"listen": None},
    }
    path = folder / "config.yaml"
    path.write_text(json.dumps({**base, **more}))
    return path


def lines_of(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def test_two_real_cameras_at_once_lose_no_frame(cli: Cli, tmp_path: Path) -> None:
    cameras: dict[str, dict[str, object]] = {}
    expected: dict[str, int] = {}
    for name in ("courtyard", "plaza"):
        first, rest = tmp_path / f"{name}-normal.mp4", tmp_path / f"{name}-today.mp4"
        expected[name] = cut(shared_file(f"{name}.avi"), first, rest, (0.2, 0.75))
        cameras[name] = {"source": str(rest), "normal": [str(first)]}
    config = write_config(tmp_path, cameras)
    assert cli("fit", "-c", config, "--all").code == 0
    result = cli("run", "-c", config, "--until-eof")
    assert result.code == 0, result.err
    for name, count in expected.items():
        assert f"camera {name}: {count} frames received, {count} scored" in result.err
    changes = lines_of(result.out)
    started = [c["id"] for c in changes if c["type"] == "anomaly.started"]
    ended = [c["id"] for c in changes if c["type"] == "anomaly.ended"]
    assert sorted(map(str, started)) == sorted(map(str, ended))
    store = EventStore(open_database(None, tmp_path / "data"))
    assert {e.id for e in store.list_events()} == set(ended)
    store.close()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, and a video in which something strange shows from second 4 to second 8."""
    folder = tmp_path_factory.mktemp("scene")
    encode(folder / "normal.mp4", moving_square(300))
    pictures = list(moving_square(120, noise_seed=4))
    for picture in pictures[40:80]:
        picture[80:110, 10:50] = (255, 240, 0)
    encode(folder / "today.mp4", iter(pictures))
    config = write_config(folder, {"yard": {"source": str(folder / "today.mp4"), "normal": [str(folder / "normal.mp4")]}})
    run_command("fit", "-c", config, "yard")
    return folder


def test_an_event_with_its_time_region_and_heat_map(cli: Cli, scene: Path) -> None:
    result = cli("run", "-c", scene / "config.yaml", "--until-eof")
    assert result.code == 0, result.err
    started, ended = lines_of(result.out)
    assert (started["type"], ended["type"]) == ("anomaly.started", "anomaly.ended")
    assert started["start_s"] == pytest.approx(4.0, abs=0.2)
    above_normal = float(str(ended["end_threshold"])) / 2  # the filter fades towards normal scores, which are under half of it
    lag_s = TIME_CONSTANT_S * math.log(float(str(ended["peak_score"])) / above_normal)
    assert 7.8 <= float(str(ended["end_s"])) <= 7.9 + lag_s + 0.1, "the causal filter lets a strong anomaly fade, no longer"
    assert dict(ended["fields"])["appearance"] > 3  # type: ignore[call-overload]
    assert ended["reason"] == "normal"
    boxes = ended["boxes"]
    assert isinstance(boxes, list)
    assert boxes[0]["left"] < 0.19 < boxes[0]["right"]
    assert boxes[0]["top"] < 0.79 < boxes[0]["bottom"]
    assert Path(str(ended["snapshot"])).stat().st_size > 5000


def test_a_disk_that_refuses_evidence_stops_no_detection_and_is_told(cli: Cli, scene: Path, tmp_path: Path) -> None:
    (tmp_path / "data/models").mkdir(parents=True)
    (tmp_path / "data/models/yard.safetensors").hardlink_to(scene / "data/models/yard.safetensors")
    for kind in KINDS:
        (tmp_path / "data" / kind).touch()  # no folder of that name can be made
    result = cli("run", "-c", write_config(tmp_path, {"yard": {"source": str(scene / "today.mp4")}}), "--until-eof")
    assert result.code == 0, result.err
    told = lines_of(result.out)
    assert [line["type"] for line in told if line["type"] != "system.degraded"] == ["anomaly.started", "anomaly.ended"]
    degraded = {line["what"]: line["active"] for line in told if line["type"] == "system.degraded"}
    assert degraded == {"evidence cannot be written": True, "clips cannot be written": True}
    assert "Traceback" not in result.err


def test_a_store_that_refuses_at_the_end_leaves_a_clip_that_plays_and_no_thread(scene: Path, tmp_path: Path) -> None:
    (tmp_path / "data/models").mkdir(parents=True)
    (tmp_path / "data/models/yard.safetensors").hardlink_to(scene / "data/models/yard.safetensors")
    path = write_config(tmp_path, {"yard": {"source": str(scene / "today.mp4")}})

    def sabotage(change: EventChange, _snapshot: Path | None) -> None:
        if change.type == "anomaly.started":
            with closing(sqlite3.connect(tmp_path / "data/events.db")) as database:
                database.execute("DROP TABLE events")
            service.stop()

    service = Service(load_config(path), until_eof=False, surroundings=Surroundings(Subscribers((sabotage,))))
    with pytest.raises(StoreError):
        service.run()
    assert {thread.name for thread in threading.enumerate()} & {"clips", "camera-yard"} == set()
    (clip,) = (tmp_path / "data/clips").glob("*.mp4")
    with av.open(str(clip)) as container:
        assert next(container.decode(video=0)).width > 0


def test_run_and_score_give_identical_scores(scene: Path, cli: Cli, tmp_path: Path) -> None:
    model = scene / "data/models/yard.safetensors"
    rows = json.loads(cli("score", "--model", model, scene / "today.mp4", "--json").out)["scores"]
    config = load_config(scene / "config.yaml")
    engine = build_engine(spec_of(config.backbone), device="cpu", precision="auto")
    engine.watch("yard", load_scenes(config, ["yard"])["yard"].first)
    engine.watch("other", load_scenes(config, ["yard"])["yard"].first)
    frames = read_moving(scene / "today.mp4", camera="yard")
    others = read_moving(scene / "normal.mp4", camera="other")
    mixed = [frame for pair in zip(frames[:60], others, strict=False) for frame in pair]
    scored = [s for at in range(0, len(mixed), 7) for s in engine.score(mixed[at : at + 7]) if s.frame.camera == "yard"]
    assert [s.score for s in scored] == [row["score"] for row in rows][: len(scored)]
    assert [s.level for s in scored] == [row["level"] for row in rows][: len(scored)]


def test_ignored_places_raise_no_event(cli: Cli, scene: Path, tmp_path: Path) -> None:
    camera: dict[str, object] = {"source": str(scene / "today.mp4"), "ignore": [[[0, 0.5], [0.5, 0.5], [0.5, 1], [0, 1]]]}
    config = write_config(tmp_path, {"yard": camera}, data_dir=str(scene / "data"))
    result = cli("run", "-c", config, "--until-eof")
    assert result.code == 0
    assert lines_of(result.out) == []


def test_a_threshold_by_hand(cli: Cli, scene: Path, tmp_path: Path) -> None:
    camera: dict[str, object] = {"source": str(scene / "today.mp4"), "threshold": 1e6}
    config = write_config(tmp_path, {"yard": camera}, data_dir=str(scene / "data"))
    assert lines_of(cli("run", "-c", config, "--until-eof").out) == []


def test_one_broken_camera_does_not_touch_the_other(cli: Cli, scene: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_text("no video")
    models = tmp_path / "data/models"
    models.mkdir(parents=True)
    for name in ("yard", "broken"):
        (models / f"{name}.safetensors").write_bytes((scene / "data/models/yard.safetensors").read_bytes())
    cameras: dict[str, dict[str, object]] = {
        "broken": {"source": str(tmp_path / "broken.mp4")},
        "yard": {"source": str(scene / "today.mp4")},
    }
    result = cli("run", "-c", write_config(tmp_path, cameras), "--until-eof")
    assert result.code == 1
    assert "camera broken failed" in result.error_line
    assert "camera yard: 120 frames received, 120 scored" in result.err
    assert len(lines_of(result.out)) == 2


@contextmanager
def daemon(config: Path) -> Iterator[subprocess.Popen[str]]:
    """A daemon of its own process; killed by its id if the test leaves it running."""
    process = subprocess.Popen(
        [sys.executable, "-m", "streamwatch", "run", "-c", str(config)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def first_line(process: subprocess.Popen[str], within_s: float) -> dict[str, object]:
    assert process.stdout
    ready, _, _ = select.select([process.stdout], [], [], within_s)
    assert ready, "no event in time"
    document: dict[str, object] = json.loads(process.stdout.readline())
    return document


def live_config(scene: Path, tmp_path: Path) -> tuple[Path, int, int]:
    """A configuration of the scene's camera played at its own pace, with both listeners."""
    metrics, web = free_port(), free_port()
    models = tmp_path / "data/models"
    models.mkdir(parents=True)
    (models / "yard.safetensors").write_bytes((scene / "data/models/yard.safetensors").read_bytes())
    camera: dict[str, object] = {"source": str(scene / "today.mp4"), "privacy": [[[0.5, 0], [1, 0], [1, 1], [0.5, 1]]]}
    config = write_config(
        tmp_path, {"yard": camera}, metrics={"listen": f"127.0.0.1:{metrics}"}, web={"listen": f"127.0.0.1:{web}"}
    )
    return config, metrics, web


def test_sigterm_closes_open_events_and_stops_in_time(scene: Path, tmp_path: Path) -> None:
    config, metrics_port, web_port = live_config(scene, tmp_path)
    with daemon(config) as process, httpx.Client(trust_env=False) as http:
        started = first_line(process, within_s=60)
        exposition = http.get(f"http://127.0.0.1:{metrics_port}/metrics").text
        health = http.get(f"http://127.0.0.1:{metrics_port}/healthz")
        page = http.get(f"http://127.0.0.1:{web_port}/events").text
        events = http.get(f"http://127.0.0.1:{web_port}/api/v1/events").json()
        process.send_signal(signal.SIGTERM)
        began_s = time.monotonic()
        out, err = process.communicate(timeout=30)
        took_s = time.monotonic() - began_s
    assert process.returncode == 0, err
    assert took_s < STOPS_WITHIN_S
    (ended,) = lines_of(out)
    assert (ended["id"], ended["reason"]) == (started["id"], "shutdown")
    assert 'streamwatch_events_open{camera="yard"} 1.0' in exposition
    assert 'streamwatch_camera_up{camera="yard"} 1.0' in exposition
    assert (health.status_code, health.json()["status"]) == (200, "ok")
    assert events[0]["id"] == started["id"]
    assert events[0]["end"] is None
    assert "yard" in page


def test_a_second_sigterm_stops_at_once(scene: Path, tmp_path: Path) -> None:
    """The first one waits for a reader that hangs in connecting to a server that says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        config, _, _ = live_config(scene, tmp_path)
        document = json.loads(config.read_text())
        document["cameras"]["yard"] = {"source": f"rtsp://127.0.0.1:{mute.getsockname()[1]}/", "open_timeout": "60s"}
        config.write_text(json.dumps({**document, "shutdown_timeout": "100s"}))
        with daemon(config) as process:
            mute.settimeout(60)
            connection, _ = mute.accept()
            process.send_signal(signal.SIGTERM)
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(2)
            process.send_signal(signal.SIGTERM)
            assert process.wait(2) == 128 + signal.SIGTERM
            connection.close()


def test_no_secret_is_ever_shown(scene: Path, tmp_path: Path, cli: Cli) -> None:
    """Passwords and tokens of cameras, webhooks and a broker, that are refused, wrong or right: in events, messages, logs at
    their most talkative, metrics, health, page, API, what commands print, evidence and the database.
    """
    track = encode_track(moving_square(20), 10)
    config, metrics_port, web_port = live_config(scene, tmp_path)
    model = tmp_path / "data/models/yard.safetensors"
    for camera in ("closed", "locked"):
        (model.with_name(f"{camera}.safetensors")).write_bytes(model.read_bytes())
    locked = SimulatedCamera(track, credentials=Credentials("viewer", "another"))
    locked.start()
    document = json.loads(config.read_text())
    document["cameras"]["closed"] = {"source": f"rtsp://viewer:{SECRET}@127.0.0.1:{free_port()}/a?token={SECRET}"}
    document["cameras"]["locked"] = {"source": locked.url.replace("://", f"://viewer:{SECRET}@")}
    document["defaults"] |= {"offline_after": "1s"}
    document["web"] |= {"public_url": "http://127.0.0.1/page"}
    signing = f"whsec_{base64.b64encode(SECRET.encode() * 2).decode()}"
    shown: list[str] = []
    with running_receiver() as receiver, httpx.Client(trust_env=False) as http:
        receiver.answers = [status(500), status(200)]
        dead = f"127.0.0.1:{free_port()}"
        webhooks = [
            {"name": "ops", "url": f"{receiver.url}?token={SECRET}", "secret": signing, "events": ["*"]},
            {"name": "nobody", "url": f"http://viewer:{SECRET}@{dead}/{SECRET}", "secret": [signing, signing], "events": ["*"]},
        ]
        document["alerts"] = {"webhooks": webhooks, "mqtt": {"url": f"mqtt://viewer:{SECRET}@{dead}", "timeout": "500ms"}}
        config.write_text(json.dumps({**document, "logging": {"level": "debug"}}))
        with daemon(config) as process:
            while first_line(process, within_s=60)["type"] != "anomaly.started":
                pass
            for port, paths in (
                (metrics_port, ("metrics", "healthz", "readyz")),
                (web_port, ("", "x", "a/b", *PAGES, *(f"api/v1/{name}" for name in READ))),
            ):
                shown += [http.get(f"http://127.0.0.1:{port}/{path}").text for path in paths]
            process.send_signal(signal.SIGTERM)
            out, err = process.communicate(timeout=30)
        shown += [request.body.decode() for request in receiver.received]
    for command in (("alerts", "list", "-c"), ("alerts", "test", "nobody", "-c"), ("events", "list", "-c"), ("check",)):
        said = cli(*command, config)
        shown.append(said.out + said.err)
    locked.stop()
    assert "locked" in err
    assert "closed" in err
    assert all(shown)
    planted = (SECRET, signing.removeprefix("whsec_"), base64.b64encode(f"viewer:{SECRET}".encode()).decode())
    assert not [text for text in (*shown, out, err) for secret in planted if secret in text]
    files = [path for path in (tmp_path / "data").rglob("*") if path.is_file() and path.suffix != ".safetensors"]
    assert {path.suffix for path in files} >= {".db", ".json", ".jpg", ".mp4", ".svg"}
    assert not [path for path in files for secret in planted if secret.encode() in path.read_bytes()]


def test_a_camera_that_played_to_its_end_is_finished_and_the_daemon_stays(scene: Path, tmp_path: Path) -> None:
    config, metrics_port, _ = live_config(scene, tmp_path)
    pictures = list(moving_square(25))
    for picture in pictures[5:]:
        picture[80:110, 10:50] = (255, 240, 0)
    short = encode(tmp_path / "short.mp4", iter(pictures))
    config.write_text(config.read_text().replace(str(scene / "today.mp4"), str(short)))
    with daemon(config) as process, httpx.Client(trust_env=False) as http:
        first_line(process, within_s=60)
        deadline_s = time.monotonic() + 40
        state = 'streamwatch_camera_state{camera="yard",state="finished"} 1.0'
        while state not in http.get(f"http://127.0.0.1:{metrics_port}/metrics").text:
            assert time.monotonic() < deadline_s
            select.select([], [], [], 0.2)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert process.returncode == 0
