"""Rules and dashboards against Prometheus's own tools, a real daemon, and a real Prometheus."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from benchmarks.monitoring import Monitored, hurried, monitored, scenario
from tests.conftest import REPOSITORY

pytestmark = [pytest.mark.long, pytest.mark.slow(110), pytest.mark.paced, pytest.mark.timeout(600)]

PROMETHEUS = REPOSITORY / "deploy/prometheus"
DASHBOARDS = sorted((REPOSITORY / "deploy/grafana/dashboards").glob("*.json"))
NAME = re.compile(r"\b(?:streamwatch|process)_[a-z0-9_]+")
SUFFIXES = ("_bucket", "_sum", "_count", "_total", "_created", "_info")
ONLY_ON_A_GPU = {"streamwatch_device_memory_bytes"}
EMPTY_WITHOUT_CAUSE = (
    "streamwatch_camera_tamper",
    "streamwatch_outbox_oldest",
    "streamwatch_device_memory",
    "streamwatch_event_duration",
    "event_to_delivery",
    "streamwatch_storage_",
    'shard!=""',
)
"""What has no series until something happens: tampering, a message that waits, an event's end, retention's first step; and
what is of several processes that share a site."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitored]:
    try:
        with monitored(tmp_path_factory.mktemp("monitored"), hurry=20) as running:
            yield running
    except FileNotFoundError as error:
        pytest.skip(f"skipped: {error}")


def expressions() -> list[tuple[str, str]]:
    """Every query of every panel and rule, with where it is."""
    found = []
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text())["panels"]:
            found += [(f"{path.stem}: {panel['title']}", target["expr"]) for target in panel["targets"]]
    rules = yaml.safe_load((PROMETHEUS / "streamwatch.rules.yml").read_text())
    return found + [(str(rule.get("alert") or rule["record"]), rule["expr"]) for g in rules["groups"] for rule in g["rules"]]


def family(name: str) -> str:
    """The family that a sample is of."""
    return next((name.removesuffix(suffix) for suffix in SUFFIXES if name.endswith(suffix)), name)


def exposed(site: Monitored) -> set[str]:
    text = httpx.get(f"http://127.0.0.1:{site.metrics_port}/metrics", trust_env=False).text
    return {family(line.split()[2]) for line in text.splitlines() if line.startswith("# TYPE ")}


@pytest.mark.skipif(not shutil.which("promtool"), reason="skipped: no promtool (Debian package prometheus)")
@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "rules", "streamwatch.rules.yml"),
        ("check", "config", "prometheus.yml"),
        ("test", "rules", "streamwatch.rules.test.yml"),
    ],
)
def test_promtool_is_content(arguments: tuple[str, ...]) -> None:
    program = shutil.which("promtool") or "promtool"
    done = subprocess.run([program, *arguments], cwd=PROMETHEUS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_unit_test_that_it_fires() -> None:
    rules = yaml.safe_load((PROMETHEUS / "streamwatch.rules.yml").read_text())
    alerts = {rule["alert"] for group in rules["groups"] for rule in group["rules"] if "alert" in rule}
    tests = yaml.safe_load((PROMETHEUS / "streamwatch.rules.test.yml").read_text())["tests"]
    fired = {check["alertname"] for test in tests for check in test["alert_rule_test"] if check["exp_alerts"]}
    assert fired == alerts


def test_every_metric_that_is_named_exists_and_every_one_that_exists_is_described(site: Monitored) -> None:
    there = exposed(site)
    named = {family(name) for _, expression in expressions() for name in NAME.findall(expression)}
    assert named - there - ONLY_ON_A_GPU == set()
    described = (REPOSITORY / "docs/metrics.md").read_text()
    pages = [*(REPOSITORY / "docs").glob("*.md"), REPOSITORY / "README.md"]
    in_docs = {family(name) for page in pages for name in re.findall(r"`(streamwatch_[a-z0-9_]+)", page.read_text())}
    assert in_docs - there - ONLY_ON_A_GPU == set()
    assert {name for name in there if name.startswith("streamwatch_") and f"`{name}" not in described} == set()


def test_every_panels_query_returns_data(site: Monitored) -> None:
    latency = 'streamwatch:latency_seconds:p99_5m{stage="capture_to_score"} > 0'
    site.wait("rates of what was scored", lambda: bool(site.query(latency)), until_s=time.monotonic() + 30)
    empty = []
    for where, expression in expressions():
        result = site.query(expression.replace("$camera", ".*").replace("$shard", ".*"))
        panel = ": " in where
        if panel and not result and not any(name in expression for name in EMPTY_WITHOUT_CAUSE):
            empty.append(f"{where}: {expression}")
    assert empty == []


def test_alerts_fire_and_clear(site: Monitored) -> None:
    """Quickened twentyfold here; at its own pace, and five minutes of an endpoint that takes nothing, in ``make soak``."""
    assert scenario(site, patient=False) == [
        "StreamwatchTamper",
        "StreamwatchCameraDown",
        "StreamwatchReloadFailed",
        "StreamwatchDown",
    ]


def test_hurrying_touches_nothing_but_for() -> None:
    assert hurried("for: 2m\nexpr: rate(x[5m]) for: 10s", 20) == "for: 6s\nexpr: rate(x[5m]) for: 1s"


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_dashboards_are_provisioned_as_files(path: Path) -> None:
    board: dict[str, Any] = json.loads(path.read_text())
    source = yaml.safe_load((REPOSITORY / "deploy/grafana/provisioning/datasources/prometheus.yaml").read_text())
    uid = source["datasources"][0]["uid"]
    assert board["uid"] == f"streamwatch-{path.stem}"
    assert all(panel["datasource"]["uid"] == uid for panel in board["panels"])
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in board["panels"])
