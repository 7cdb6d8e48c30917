"""Errors, health and metrics."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import httpx
import pytest

from streamwatch import errors
from streamwatch.capture.readiness import readiness
from streamwatch.clock import SystemClock
from streamwatch.enums import CameraState
from streamwatch.health import Health
from streamwatch.metrics import OPEN_METRICS, Metrics
from streamwatch.threads import ThreadGuard
from streamwatch.web.server import WebServer
from streamwatch.web.telemetry import telemetry_app
from tests.test_retry import FakeClock


def test_the_drawn_tree_is_the_tree() -> None:
    kinds = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, errors.StreamwatchError)]
    drawn = errors.__doc__ or ""
    for kind in kinds:
        line = next(line for line in drawn.splitlines() if kind.__name__ in line.split())
        assert f"exit {kind.exit_code}" in line


def test_a_loop_that_stands_still_is_ill_and_a_retired_one_is_not() -> None:
    clock = FakeClock()
    health = Health(clock, stalled_after_s=10)
    health.beat("pipeline")
    clock.now_s = 9
    assert health.stalled() == {}
    clock.now_s = 11
    assert health.stalled() == {"pipeline": 11}
    health.retire("pipeline")
    assert health.stalled() == {}


Telemetry = tuple[httpx.Client, FakeClock, Metrics]


@pytest.fixture
def client() -> Iterator[Telemetry]:
    clock, metrics = FakeClock(), Metrics()
    health = Health(clock)
    health.beat("pipeline")
    state = readiness({"a": 0.5, "b": None}, set(), share=1.0, within_s=60)
    server = WebServer(telemetry_app(metrics, health, lambda: state), "127.0.0.1:0")
    server.start(ThreadGuard(SystemClock()))
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", trust_env=False) as http:
        yield http, clock, metrics
    server.stop()


def test_metrics_are_openmetrics_with_the_fixed_names(client: Telemetry) -> None:
    http, _, metrics = client
    metrics.frames_dropped.labels("a", "displaced").inc(3)
    metrics.camera_state_is("a", CameraState.RUNNING)
    answer = http.get("/metrics", headers={"accept": OPEN_METRICS})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert 'streamwatch_camera_frames_dropped_total{camera="a",reason="displaced"} 3.0' in answer.text
    assert 'streamwatch_camera_up{camera="a"} 1.0' in answer.text
    assert sum(f'state="{state}"}} 1.0' in answer.text for state in CameraState) == 1
    assert "streamwatch_build_info{" in answer.text
    assert answer.text.endswith("# EOF\n")


@pytest.mark.parametrize("accept", ["text/plain;version=0.0.4", "*/*", "text/html,application/xhtml+xml"])
def test_who_does_not_ask_for_openmetrics_gets_prometheus_text(client: Telemetry, accept: str) -> None:
    http, _, metrics = client
    metrics.frames_dropped.labels("a", "displaced").inc(3)
    answer = http.get("/metrics", headers={"accept": accept})
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'streamwatch_camera_frames_dropped_total{camera="a",reason="displaced"} 3.0' in answer.text
    assert {line.split()[3] for line in answer.text.splitlines() if line.startswith("# TYPE")} <= {
        "counter",
        "gauge",
        "histogram",
    }
    assert "# EOF" not in answer.text


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/readyz"])
def test_who_asks_for_the_head_alone_gets_it(client: Telemetry, path: str) -> None:
    http, *_ = client
    head = http.head(path)
    assert (head.status_code, head.content) == (http.get(path).status_code, b"")


def test_latency_names_its_event_and_the_process_is_measured(client: Telemetry) -> None:
    http, _, metrics = client
    metrics.frame_latency.labels("capture_to_event").observe(0.3, {"event_id": "01a2"})
    text = http.get("/metrics", headers={"accept": OPEN_METRICS}).text
    assert re.search(r'stage="capture_to_event".* # \{event_id="01a2"\} 0.3', text)
    assert "process_resident_memory_bytes" in text
    assert text.endswith("# EOF\n")


def test_counters_are_there_before_anything_is_counted(client: Telemetry) -> None:
    http, _, metrics = client
    metrics.expect_camera("dock")
    metrics.expect_endpoint("ops")
    metrics.show_device("cuda:0", lambda: {"total": 80, "used": 3})
    text = http.get("/metrics").text
    assert 'streamwatch_events_total{camera="dock",type="anomaly.started"} 0.0' in text
    assert 'streamwatch_camera_frames_dropped_total{camera="dock",reason="displaced"} 0.0' in text
    assert 'streamwatch_dead_letters_total{endpoint="ops"} 0.0' in text
    assert 'streamwatch_device_memory_bytes{device="cuda:0",kind="total"} 80.0' in text


def test_health_follows_the_loops_and_readiness_the_cameras(client: Telemetry) -> None:
    http, clock, _ = client
    assert http.get("/healthz").json()["status"] == "ok"
    ready = http.get("/readyz")
    assert (ready.status_code, ready.json()["not_ready"]) == (503, ["b"])
    clock.now_s = 100
    assert http.get("/healthz").status_code == 503
