"""Units, images and charts, as far as they can be tried without systemd, an engine or a cluster."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from streamwatch.cli.main import COMMANDS
from streamwatch.config.sharding import Shard
from tests.conftest import REPOSITORY

DEPLOY = REPOSITORY / "deploy"
MAX_EXPOSED = 3.0


def run(*command: str, cwd: Path = DEPLOY) -> str:
    program = shutil.which(command[0])
    if program is None:
        pytest.skip(f"skipped: no {command[0]} on this machine")
    done = subprocess.run([program, *command[1:]], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_unit_is_hardened() -> None:
    said = run("systemd-analyze", "security", "--offline=yes", "--no-pager", "systemd/streamwatch.service")
    exposure = re.search(r"Overall exposure level for \S+: ([\d.]+)", said)
    assert exposure
    assert float(exposure[1]) < MAX_EXPOSED


def test_the_unit_is_notified_watched_and_reloaded() -> None:
    text = (DEPLOY / "systemd/streamwatch.service").read_text()
    for line in (
        "Type=notify",
        "WatchdogSec=60",
        "DynamicUser=yes",
        "StateDirectory=streamwatch",
        "RestartPreventExitStatus=2",
    ):
        assert line in text.splitlines()
    assert "LoadCredential=" in text


def stages() -> dict[str, list[tuple[str, str]]]:
    """Instructions of the Dockerfile, by stage."""
    text = re.sub(r"\\\n\s*", " ", (DEPLOY / "docker/Dockerfile").read_text())
    found: dict[str, list[tuple[str, str]]] = {}
    stage = ""
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        word, _, rest = line.strip().partition(" ")
        if word == "FROM":
            stage = rest.split(" AS ")[1]
        found.setdefault(stage, []).append((word, rest))
    return found


def test_the_image_runs_as_nobody_in_particular_and_is_healthy_while_its_loops_run() -> None:
    found = stages()
    assert {"build", "base", "cpu", "cuda"} <= set(found)
    base = found["base"]
    assert dict(base)["USER"] == "10001"
    after_user = [word for word, _ in base[[word for word, _ in base].index("USER") :]]
    assert "RUN" not in after_user
    health = dict(base)["HEALTHCHECK"]
    assert "/healthz" in health
    assert "/readyz" not in health
    assert not [rest for stage in found.values() for word, rest in stage if word == "ADD" or rest.endswith(":latest")]
    copied = [rest for word, rest in found["build"] if word == "COPY"]
    ignored = (REPOSITORY / ".dockerignore").read_text().splitlines()
    for name in {name for line in copied for name in line.split()[:-1]}:
        assert (REPOSITORY / name).exists()
        assert f"!{name}" in ignored


def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((DEPLOY / "docker/compose.yaml").read_text())
    return document


def test_compose_names_commands_files_and_services_that_exist() -> None:
    services = compose()["services"]
    for service in services.values():
        for dependency in service.get("depends_on", ()):
            assert dependency in services
        if service.get("image") == "streamwatch" and "command" in service:
            assert service["command"][0] in COMMANDS
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert source in compose()["volumes"] or (DEPLOY / "docker" / source).exists()
    scraped = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())["scrape_configs"][0]["static_configs"]
    assert scraped[0]["targets"][0].split(":")[0] in services
    ours = [service for service in services.values() if service.get("image") == "streamwatch"]
    assert all(service["read_only"] and service["cap_drop"] == ["ALL"] for service in ours)


def test_docker_compose_reads_it() -> None:
    assert "streamwatch" in run("docker-compose", "-f", "docker/compose.yaml", "config")


def manifests() -> list[dict[str, Any]]:
    return [part for part in yaml.safe_load_all(run("kubectl", "kustomize", "kubernetes")) if part]


def test_the_chart_is_whole() -> None:
    kinds = {part["kind"] for part in manifests()}
    assert kinds == {"Namespace", "StatefulSet", "Service", "PodDisruptionBudget", "ServiceMonitor", "Secret", "ConfigMap"}
    assert all(part["metadata"].get("namespace", "streamwatch") == "streamwatch" for part in manifests())


def test_the_chart_fits_the_schemas() -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="skipped: no kubernetes-validate on this machine")
    for part in manifests():
        if part["kind"] != "ServiceMonitor":  # a custom resource
            validate.validate(part, "1.31", strict=True)


def test_a_pods_ordinal_is_its_shard_and_no_camera_restarts_it() -> None:
    (workload,) = [part for part in manifests() if part["kind"] == "StatefulSet"]
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    shard = next(entry["value"] for entry in container["env"] if entry["name"] == "STREAMWATCH_SHARD")
    replicas = workload["spec"]["replicas"]
    parsed = [Shard.parse(shard.replace("$(POD)", f"streamwatch-{ordinal}")) for ordinal in range(replicas)]
    assert parsed == [Shard(ordinal, replicas) for ordinal in range(replicas)]
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["securityContext"]["readOnlyRootFilesystem"]
    (monitor,) = [part for part in manifests() if part["kind"] == "ServiceMonitor"]
    (service,) = [part for part in manifests() if part["kind"] == "Service"]
    assert monitor["spec"]["endpoints"][0]["port"] in [port["name"] for port in service["spec"]["ports"]]
