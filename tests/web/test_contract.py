"""The API does what its document says: whatever is asked, and by a client that was made of the document alone."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from streamwatch.web.api import cameras
from tests.web.sites import TestSite, running, site_in

pytestmark = [pytest.mark.long, pytest.mark.slow(80)]
EXAMPLES = "5"
"""Requests of each kind for each route."""
OMITTED = r"/(probe|stream|endpoints/\{name\}/test)$"
"""They speak to others, or for minutes; what they answer is tested one by one."""
CHECKS = "not_a_server_error,response_schema_conformance,content_type_conformance,status_code_conformance"


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestSite]:
    """A site with two events and a camera."""
    with pytest.MonkeyPatch.context() as patch, running(site_in(tmp_path_factory.mktemp("asked"))) as site:
        patch.setattr(cameras, "FIRST_PICTURE_WITHIN_S", 0.5)
        site.event()
        site.event(1_772_331_300.0, "quay", open_=True)
        with scoring(site):
            yield site


@contextmanager
def scoring(site: TestSite) -> Iterator[None]:
    """Frames of its camera, as they would come."""
    stop = threading.Event()

    def score() -> None:
        index = 0
        while not stop.wait(0.02):
            index += 1
            site.score(index=index)

    thread = threading.Thread(target=score)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.fixture(scope="module")
def document(asked: TestSite) -> dict[str, Any]:
    with asked.http() as http:
        found: dict[str, Any] = http.get("/api/v1/openapi.json").json()
    return found


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(path, method, known) for path, methods in document["paths"].items() for method, known in methods.items()]


def test_every_route_is_described_with_its_role_its_faults_and_its_answer(document: dict[str, Any]) -> None:
    assert len(operations(document)) > 40
    for path, method, known in operations(document):
        assert known["description"], path
        assert known["x-role"] in {"viewer", "operator", "admin"}, path
        assert {"401", "403", "404", "422"} <= set(known["responses"]), path
        done = next(answer for status, answer in known["responses"].items() if status.startswith("2"))
        assert done["content"], (path, method)


def test_every_document_has_an_example_that_is_one(document: dict[str, Any]) -> None:
    known = {name: of for name, of in document["components"]["schemas"].items() if of.get("type") == "object"}
    assert len(known) > 35
    for name, schema in known.items():
        if name.endswith("ValidationError"):
            continue
        assert schema.get("examples"), name
        for example in schema["examples"]:
            jsonschema.validate(example, {**schema, "components": document["components"]})


def test_a_client_that_was_made_of_the_document_alone_can_do_the_work(
    asked: TestSite, document: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "openapi.json").write_text(json.dumps(document))
    make = [sys.executable, "-m", "openapi_python_client", "generate", "--path", "openapi.json", "--output-path", "client"]
    made = subprocess.run([*make, "--meta", "none"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert made.returncode == 0, made.stdout + made.stderr
    script = f"""
from client import Client
from client.api.cameras import list_cameras
from client.api.events import list_events, put_note
from client.models import NoteRequest
client = Client(base_url={asked.base_url!r}, httpx_args={{"trust_env": False}})
cameras = list_cameras.sync(client=client)
events = list_events.sync(client=client, limit=1)
noted = put_note.sync(events[0].id, client=client, body=NoteRequest(note="by a client"))
print(cameras[0].name, len(events), noted.note)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.split() == ["gate", "1", "by", "a", "client"], done.stderr


def test_whatever_is_asked_nothing_fails(asked: TestSite, tmp_path: Path) -> None:
    """Schemathesis: valid and invalid requests of every route; no 500, and answers as they are documented."""
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{asked.base_url}/api/v1/openapi.json", "--checks", CHECKS]
    command += ["--phases", "examples,coverage,fuzzing", "--max-examples", EXAMPLES, "--exclude-path-regex", OMITTED]
    command += ["--no-color", "--generation-deterministic"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stdout[-9000:]
