"""Two processes share a site: either one's pages and API show the cameras and events of both."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, expect
from sqlalchemy import Engine

from streamwatch.config.schema import WebConfig
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
        assert "clips" in {link["kind"] for link in listed["evidence"]}
        one = http.get(f"/api/v1/events/{event.id}").json()
        assert {link["kind"] for link in one["evidence"]} == {"snapshots", "clips"}
        clip = f"/api/v1/events/{event.id}/evidence/clips"
        assert http.get(clip).content == b"0123456789" * 100
        part = http.get(clip, headers={"range": "bytes=2-5"})
        assert (part.status_code, part.content) == (206, b"2345")
        assert http.get(f"/api/v1/events/{event.id}/evidence/peaks").status_code == 404


def test_evidence_of_a_camera_that_has_moved_is_found_where_it_was_written(two: TwoProcesses) -> None:
    event = two.south.event(camera="gate")  # the gate is the northern process's by now
    two.tell("south")
    with two.north.http() as http:
        assert http.get(f"/api/v1/events/{event.id}/evidence/clips").status_code == 200
        assert http.get(f"/api/v1/events/{event.id}/evidence/maps").status_code == 404


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
    levels, snooze = "/api/v1/cameras/quay/levels", "/api/v1/cameras/quay/snooze"
    with two.north.http() as nobody:
        assert nobody.get(levels).status_code == 401
    with two.north.http(two.north.token(Role.VIEWER)) as viewer:
        assert viewer.get(levels).status_code == 200
        assert viewer.put(snooze, json={"duration": "1h"}).status_code == 403
    with two.north.http(two.north.token(Role.OPERATOR)) as operator:
        assert operator.put(snooze, json={"duration": "1h"}).status_code == 200


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


def test_two_that_each_take_the_other_for_the_watcher_ask_once(two: TwoProcesses) -> None:
    two.tell("south", two.north.base_url)  # as after a mistake in `web.peer_url`
    with two.north.http() as http:
        assert http.get("/api/v1/cameras/quay/picture").status_code == 404


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
