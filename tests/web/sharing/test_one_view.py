"""Two processes share a site: either one's pages and API show the cameras and events of both."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, expect
from sqlalchemy import Engine

from streamwatch.config.schema import Proxy, WebConfig
from streamwatch.enums import Role
from streamwatch.store.processes.reports import ProcessReport, remove_report, write_report
from streamwatch.web.context import Stores
from streamwatch.web.sharing.events import EventsElsewhere
from streamwatch.web.sharing.others import OtherProcesses
from streamwatch.web.sharing.report import report_of
from tests.web.browsers import browser, looking, until_shown
from tests.web.sites import TestSite, running, site_in

__all__ = ["browser"]
HOST = socket.gethostname()


def told(lines: Iterator[str], kind: str) -> Any:
    """The next message of a kind."""
    for line in lines:
        if line == f"event: {kind}":
            return json.loads(next(lines).removeprefix("data: "))
    raise AssertionError("the stream ended")


class TwoProcesses:
    """``north`` watches the gate and ``south`` the quay; both know what the other one says."""

    def __init__(self, folder: Path) -> None:
        self.north = site_in(folder / "north", watched=["gate"])
        self.south = site_in(folder / "south", watched=["quay"])
        self.database: Engine = self.north.context.stores.database
        self.south.context.stores.events.close()
        for name, site in (("north", self.north), ("south", self.south)):
            self._share(name, site)

    def _share(self, name: str, site: TestSite) -> None:
        live, store = site.context.require_live(), self.north.context.stores.events
        elsewhere = EventsElsewhere(store, lambda camera: camera in live.cameras.names(), live.feed.change)
        others = OtherProcesses(self.database, name, site.context.clock)
        stores = Stores.of(self.database, store)
        site.context = replace(site.context, shard=name, others=others, stores=stores, live=replace(live, elsewhere=elsewhere))

    def tell(self, name: str, address: str | None = None, host: str = HOST) -> None:
        """What a process says of itself, as its daemon would."""
        site = self.north if name == "north" else self.south
        told = ProcessReport(name, name, host, address or site.base_url, "1.0.0", 0.0, report_of(site.context))
        write_report(self.database, told, site.context.clock)


@pytest.fixture
def two(tmp_path: Path) -> Iterator[TwoProcesses]:
    yield from _both(tmp_path, WebConfig())


@pytest.fixture
def two_locked(tmp_path: Path) -> Iterator[TwoProcesses]:
    yield from _both(tmp_path, WebConfig(login="required"))


def _both(folder: Path, web: WebConfig) -> Iterator[TwoProcesses]:
    made = TwoProcesses(folder)
    with ExitStack() as stack:
        for site in (made.north, made.south):
            stack.enter_context(running(site, web))
        yield made


def test_either_lists_the_cameras_of_both_and_who_watches_them(two: TwoProcesses) -> None:
    two.south.score("quay", level=0.7)
    two.tell("south")
    two.tell("north")
    with two.north.http() as http:
        found = {camera["name"]: camera for camera in http.get("/api/v1/cameras").json()}
        assert {name: (one["state"], one["shard"]) for name, one in found.items()} == {
            "gate": ("running", "north"),
            "quay": ("running", "south"),
        }
        assert found["quay"]["level"] == 0.7
        assert http.get("/api/v1/cameras/quay").json() == found["quay"]
        assert http.get("/api/v1/summary").json()["states"] == {"running": 2}
        assert http.get("/cameras/quay").status_code == 200
        shards = http.get("/api/v1/shards").json()
        assert [(one["shard"], one["cameras"], one["here"]) for one in shards] == [
            ("north", ["gate"], True),
            ("south", ["quay"], False),
        ]


def test_a_camera_of_a_process_that_says_nothing_is_watched_by_nobody(two: TwoProcesses) -> None:
    with two.north.http() as http:
        quay = http.get("/api/v1/cameras/quay").json()
        assert (quay["state"], quay["shard"]) == (None, None)
        assert http.get("/api/v1/cameras/quay/picture").status_code == 404


def test_pictures_levels_and_snoozes_are_those_of_the_process_that_watches(two: TwoProcesses) -> None:
    two.south.context.require_live().pictures.want("quay")
    two.south.score("quay", level=0.7)
    two.tell("south")
    with two.north.http() as http, two.south.http() as direct:
        there = direct.get("/api/v1/cameras/quay/picture")
        here = http.get("/api/v1/cameras/quay/picture")
        assert here.status_code == 200
        assert here.headers["content-type"] == "image/jpeg"
        assert here.content == there.content
        again = http.get("/api/v1/cameras/quay/picture", headers={"if-none-match": here.headers["etag"]})
        assert again.status_code == 304
        assert http.get("/api/v1/cameras/quay/levels").json()["points"][-1]["level"] == 0.7
        assert http.put("/api/v1/cameras/quay/snooze", json={"duration": "1h"}).json()["snoozed_until"]
        assert direct.get("/api/v1/cameras/quay").json()["snoozed_until"]


def test_an_event_of_another_process_is_seen_with_its_evidence(two: TwoProcesses) -> None:
    event = two.south.event(camera="quay")
    two.tell("south")
    with two.north.http() as http:
        (listed,) = http.get("/api/v1/events").json()
        assert http.get(f"/api/v1/events/{event.id}").json() == listed
        assert "clips" in {link["kind"] for link in listed["evidence"]}
        assert f"{event.id}/evidence/clips" in http.get(f"/events/{event.id}").text
        clip = f"/api/v1/events/{event.id}/evidence/clips"
        assert http.get(clip).content == b"0123456789" * 100
        part = http.get(clip, headers={"range": "bytes=2-5"})
        assert (part.status_code, part.content) == (206, b"2345")
        assert http.get(f"/api/v1/events/{event.id}/evidence/peaks").status_code == 404


def test_evidence_of_a_camera_that_has_moved_is_found_where_it_was_written(two: TwoProcesses) -> None:
    event = two.south.event(camera="gate")  # the gate is the northern process's by now
    two.tell("south")
    with two.north.http() as http:
        assert "clips" in {link["kind"] for link in http.get(f"/api/v1/events/{event.id}").json()["evidence"]}
        assert http.get(f"/api/v1/events/{event.id}/evidence/clips").status_code == 200
        assert http.get(f"/api/v1/events/{event.id}/evidence/maps").status_code == 404


def test_a_label_is_learned_where_the_event_was_seen_and_its_job_is_found_from_here(two: TwoProcesses) -> None:
    event = two.south.event(camera="quay")
    two.tell("south")
    with two.north.http() as http:
        (job,) = http.put(f"/api/v1/events/{event.id}/label", json={"label": "normal"}).json()["jobs"]
        assert http.get(f"/api/v1/jobs/{job['id']}").json()["subject"] == "quay"
        assert two.south.commands.arguments
        assert not two.north.commands.arguments
        assert http.get("/api/v1/jobs/" + "0" * 32).status_code == 404


def test_a_process_that_is_not_reached_keeps_nobody_from_events_and_labels(two: TwoProcesses) -> None:
    event = two.south.event(camera="quay")
    two.tell("south", "http://127.0.0.1:9")
    with two.north.http() as http:
        assert http.get(f"/api/v1/events/{event.id}").status_code == 200
        assert http.put(f"/api/v1/events/{event.id}/label", json={"label": "normal"}).status_code == 200
        assert http.put("/api/v1/cameras/quay/snooze", json={"duration": "1h"}).status_code == 200
        assert http.get(f"/api/v1/events/{event.id}/evidence/clips").status_code == 404


def test_events_of_another_process_come_with_the_stream(two: TwoProcesses) -> None:
    two.tell("south")
    with two.north.http() as http, http.stream("GET", "/api/v1/stream") as stream:
        lines = stream.iter_lines()
        assert told(lines, "state")
        event = two.south.event(two.south.context.clock.wall_s() - 5, camera="quay", open_=True)
        assert told(lines, "event")["id"] == event.id


def test_who_asks_is_asked_by_both(two_locked: TwoProcesses) -> None:
    two = two_locked
    two.south.score("quay")
    two.tell("south")
    event = two.south.event(camera="quay")
    levels, label = "/api/v1/cameras/quay/levels", f"/api/v1/events/{event.id}/label"
    with two.north.http() as nobody:
        assert nobody.get(levels).status_code == 401
    with two.north.http(two.north.token(Role.VIEWER)) as viewer:
        assert viewer.get(levels).status_code == 200
        assert viewer.put(label, json={"label": "normal"}).status_code == 403
    with two.north.http(two.north.token(Role.OPERATOR)) as operator:
        assert operator.put(label, json={"label": "normal"}).status_code == 200
    assert two.south.commands.arguments


PROXY = Proxy(header="X-Forwarded-User", networks=["127.0.0.1/32"], role=Role.ADMIN)


def test_nobody_becomes_a_proxys_user_by_a_header_that_is_handed_on(tmp_path: Path) -> None:
    made = TwoProcesses(tmp_path)
    with running(made.north, WebConfig(login="required")), running(made.south, WebConfig(login="required", proxy=PROXY)):
        made.tell("south")
        event = made.south.event(camera="quay")
        forged = {"x-forwarded-user": "admin", "x-forwarded-for": "10.0.0.1"}
        with made.north.http(made.north.token(Role.VIEWER)) as viewer:
            answer = viewer.put(f"/api/v1/events/{event.id}/label", json={"label": "normal"}, headers=forged)
            assert answer.status_code == 403
    assert not made.south.commands.arguments


def test_a_proxys_user_is_one_for_both(tmp_path: Path) -> None:
    made, web = TwoProcesses(tmp_path), WebConfig(login="required", proxy=PROXY)
    with running(made.north, web), running(made.south, web):
        made.tell("south")
        with made.north.http() as http:
            assert http.get("/api/v1/cameras/quay/levels", headers={"x-forwarded-user": "anna"}).status_code == 200


@pytest.mark.parametrize(
    "target",
    [
        "%2Fapi%2Fv1%2Fcameras%2Fquay%2Flevels@127.0.0.1:{port}/levels",
        "/api/v1/cameras/quay/../../../login",
        "/api/v1/cameras/quay/%2e%2e/%2e%2e/%2e%2e/login",
        "/api/v1/cameras/quay%2Flevels/levels",
        "/api/v1/cameras/@127.0.0.1:{port}/levels",
        "//127.0.0.1:{port}/api/v1/cameras/quay/levels",
        "http://127.0.0.1:{port}/api/v1/cameras/quay/levels",
    ],
)
def test_no_path_leads_another_process_elsewhere(two: TwoProcesses, target: str) -> None:
    """What a client makes of a path is not what it was matched as; nothing but the meant process is ever connected to."""
    two.south.score("quay")
    two.tell("south")
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        elsewhere.settimeout(0.5)
        port = elsewhere.getsockname()[1]
        host, own_port = two.north.base_url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(own_port)), 5) as client:
            lines = (f"GET {target.format(port=port)} HTTP/1.1", f"Host: {host}:{own_port}", "Connection: close", "", "")
            client.sendall("\r\n".join(lines).encode())
            status = client.makefile("rb").readline()
        with pytest.raises(TimeoutError):
            elsewhere.accept()
    assert status.split()[1] in (b"200", b"400", b"404", b"405", b"421")


def test_another_login_there_is_said_to_be_one(tmp_path: Path) -> None:
    made = TwoProcesses(tmp_path)
    with running(made.north), running(made.south, WebConfig(login="required")):
        made.tell("south")
        with made.north.http() as http:
            answer = http.get("/api/v1/cameras/quay/levels")
            assert answer.status_code == 502
            assert "does not know who asks" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("address", "host", "said"),
    [
        ("http://127.0.0.1:9", HOST, "does not answer (ConnectError)"),
        ("http://127.0.0.1:9", "another-machine", "cannot be reached from here"),
    ],
)
def test_a_process_that_cannot_be_asked_is_named(two: TwoProcesses, address: str, host: str, said: str) -> None:
    two.tell("south", address, host)
    with two.north.http() as http:
        answer = http.get("/api/v1/cameras/quay/picture")
        assert answer.status_code == 502
        assert "shard south" in answer.json()["detail"]
        assert said in answer.json()["detail"]


def test_an_address_that_leads_to_another_process_is_not_taken_for_the_meant_one(two: TwoProcesses) -> None:
    two.tell("south", two.north.base_url)  # as after a mistake in `web.peer_url`, and behind a database's proxy on each machine
    with two.north.http() as http:
        answer = http.get("/api/v1/cameras/quay/picture")
        assert answer.status_code == 502
        assert "its address leads elsewhere" in answer.json()["detail"]


def test_who_looks_after_a_pause_hears_of_no_old_events(two: TwoProcesses) -> None:
    told_of = list[str]()
    elsewhere = EventsElsewhere(
        two.north.context.stores.events, lambda camera: camera == "gate", lambda change: told_of.append(change.event.id)
    )
    elsewhere.look(1000.0)
    first = two.south.event(1001.0, camera="quay", open_=True)
    elsewhere.look(1002.0)
    assert told_of == [first.id]
    two.south.event(1010.0, camera="quay", open_=True)
    elsewhere.look(8000.0)
    assert told_of == [first.id], "nobody looked for two hours"
    last = two.south.event(8001.0, camera="quay", open_=True)
    two.south.event(8001.0, camera="gate", open_=True)
    elsewhere.look(8002.0)
    assert told_of == [first.id, last.id]


def test_a_database_that_refuses_changes_nothing_that_was_known(two: TwoProcesses) -> None:
    two.tell("south")
    with two.north.http() as http:
        assert http.get("/api/v1/cameras/quay").json()["shard"] == "south"
        with two.database.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE processes RENAME TO gone")
        time.sleep(1.1)  # as long as an answer of the database is taken for new
        assert http.get("/api/v1/cameras/quay").json()["shard"] == "south"


def test_a_report_of_another_version_is_taken_as_far_as_it_goes(two: TwoProcesses) -> None:
    documents = {"cameras": [{"name": "quay"}, {"odd": 1}], "capacity": {"cameras": "many"}}
    write_report(two.database, ProcessReport("old", "old", HOST, None, "0.1", 0.0, documents), two.north.context.clock)
    with two.north.http() as http:
        assert http.get("/api/v1/cameras/quay").json()["state"] is None
        assert [one["shard"] for one in http.get("/api/v1/shards").json()] == ["north", "old"]


def test_what_is_told_is_masked(two: TwoProcesses) -> None:
    two.tell("north")
    with two.south.http() as http:
        assert "hidden-word" not in http.get("/api/v1/cameras").text


def test_a_card_shows_pictures_of_a_camera_of_another_process_and_of_one_that_moved(
    browser: Browser, two: TwoProcesses
) -> None:
    two.south.context.require_live().pictures.want("quay")
    two.south.score("quay", level=0.7)
    two.tell("south")
    with looking(browser, two.north.base_url) as page:
        page.goto("/")
        card = page.locator("article[data-camera=quay]")
        expect(card.locator(".figures")).to_contain_text("shard south")
        until_shown(page, "document.querySelector('[data-camera=quay] .picture').naturalWidth > 0")
        remove_report(two.database, "south")
        expect(card.locator(".advice")).to_have_text("no process watches it now")
        page.goto("/system")
        expect(page.locator("#shards")).to_contain_text("north (this one)")


def test_a_listener_that_is_gone_is_no_fault(two: TwoProcesses) -> None:
    two.tell("south")
    with two.north.http() as http:
        with pytest.raises(httpx.ReadTimeout), http.stream("GET", "/api/v1/stream", timeout=0.2) as stream:
            list(stream.iter_lines())
        assert http.get("/api/v1/summary").status_code == 200
