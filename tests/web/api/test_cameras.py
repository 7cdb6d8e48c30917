"""Cameras by the API: what they do, what they see, and what is heard of them as it happens."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
from typing import Any

import cv2
import httpx
import numpy as np
import pytest

from streamwatch.enums import CameraState, DisconnectKind, DropReason, EventType
from streamwatch.records import EventChange, Notice
from streamwatch.web.live.feed import MAX_WAITING
from tests.web.sites import TestSite


def looked_at(site: TestSite, path: str) -> httpx.Response:
    """A picture, of a camera that scores a frame every 20 ms meanwhile."""
    stop = threading.Event()

    def score() -> None:
        index = 0
        while not stop.wait(0.02):
            index += 1
            site.score(level=0.2 + 2.5 * (index % 2), index=index)

    scoring = threading.Thread(target=score)
    scoring.start()
    try:
        with site.http() as http:
            return http.get(path)
    finally:
        stop.set()
        scoring.join()


def test_what_a_camera_does_is_told(site: TestSite) -> None:
    status = site.context.require_live().cameras._sources.status
    status.receive("gate")
    status.drop("gate", DropReason.STALE)
    status.lose("gate", DisconnectKind.TIMEOUT, 0.0)
    status.set_state("gate", CameraState.CALIBRATING)
    site.score(level=0.5)
    time.sleep(0.6)  # what all viewers share is that old at most
    with site.http() as http:
        gate, quay = http.get("/api/v1/cameras").json()
    assert (gate["state"], gate["level"], gate["threshold"]) == ("calibrating", 0.5, 1.0)
    assert gate["fields"] == [{"name": "motion", "value": 20.0, "threshold": 41.0}]
    assert gate["latency_ms"] == pytest.approx(50, abs=20)
    assert (gate["drops"], gate["disconnects"], gate["received"]) == ({"stale": 1}, {"timeout": 1}, 1)
    assert gate["source"] == "rtsp://***@127.0.0.1:9/stream"
    assert (quay["state"], quay["level"]) == (None, None), "it is in the configuration, and nobody watches it"


def test_a_picture_is_made_when_somebody_looks_and_once(site: TestSite) -> None:
    answer = looked_at(site, "/api/v1/cameras/gate/picture?width=300")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
    picture = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape == (180, 320, 3)
    with site.http() as http:
        again = http.get("/api/v1/cameras/gate/picture?width=300", headers={"if-none-match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert http.get("/api/v1/cameras/quay/picture").status_code == 404
        assert http.get("/api/v1/cameras/nowhere/picture").status_code == 404


def test_a_camera_that_gives_nothing_says_so(site: TestSite) -> None:
    with site.http() as http:
        answer = http.get("/api/v1/cameras/gate/heat")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")


def test_what_is_private_is_black_in_what_is_shown(site: TestSite) -> None:
    site.config_path.write_text(site.config_path.read_text().replace(
        "alarm_budget: 1/day", "privacy: [[[0, 0], [1, 0], [1, 1], [0, 1]]]"
    ))  # fmt: skip
    answer = looked_at(site, "/api/v1/cameras/gate/picture")
    picture = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert int(picture.max()) < 10


def test_heat_is_clear_where_nothing_is_unusual(site: TestSite) -> None:
    answer = looked_at(site, "/api/v1/cameras/gate/heat")
    assert answer.headers["content-type"] == "image/png"
    heat = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert heat is not None
    assert heat.shape == (64, 64, 4)
    assert set(np.unique(heat[..., 3])) <= {0, 255}


def test_levels_since_then(site: TestSite) -> None:
    for number in range(5):
        site.score(level=number / 10, at_s=1000.0 + number)
    with site.http() as http:
        levels = http.get("/api/v1/cameras/gate/levels", params={"since": 1002.0}).json()
    assert [point["level"] for point in levels["points"]] == [0.3, 0.4]
    assert levels["points"][1] == {"at": 1004.0, "level": 0.4, "fields": {"motion": 16.0}}
    assert (levels["threshold"], levels["field_thresholds"]) == (1.0, {"motion": 41.0})


@pytest.mark.parametrize("duration", ["", "soon", "-1h", "0s", "9000d"])
def test_a_snooze_that_is_none(site: TestSite, duration: str) -> None:
    with site.http() as http:
        assert http.put("/api/v1/cameras/gate/snooze", json={"duration": duration}).status_code == 422
        assert http.put("/api/v1/cameras/nowhere/snooze", json={"duration": "1h"}).status_code == 404


def test_what_is_done_with_a_key_is_done_once(site: TestSite) -> None:
    path, key = "/api/v1/cameras/gate/snooze", {"idempotency-key": "k1"}
    with site.http() as http:
        first = http.put(path, json={"duration": "1h"}, headers=key)
        http.delete(path)
        again = http.put(path, json={"duration": "1h"}, headers=key)
        assert again.json() == first.json()
        assert again.headers["idempotency-replayed"] == "true"
        assert http.get("/api/v1/cameras/gate").json()["snoozed_until"] is None, "it was not done again"
        other = http.put(path, json={"duration": "2h"}, headers=key)
        assert (other.status_code, "another request" in other.text) == (422, True)
        assert http.put(path, json={"duration": "1h"}, headers={"idempotency-key": "k" * 300}).status_code == 422


def test_a_request_that_failed_may_be_sent_again_with_its_key(site: TestSite) -> None:
    with site.http() as http:
        for _ in range(2):  # nobody listens there
            answer = http.post("/api/v1/endpoints/ops/test", headers={"idempotency-key": "k2"})
            assert answer.status_code == 502
            assert "idempotency-replayed" not in answer.headers


def test_what_happens_is_heard_as_it_happens(site: TestSite) -> None:
    heard: list[tuple[str, Any]] = []
    feed, ready = site.context.require_live().feed, threading.Event()

    def tell() -> None:
        ready.wait(10)
        feed.change(EventChange(EventType.ANOMALY_STARTED, site.event(open_=True), 1.0), None)
        feed.notice(Notice("0" * 36, EventType.CAMERA_OFFLINE, "gate", 1.0))

    telling = threading.Thread(target=tell)
    telling.start()
    with site.http() as http, http.stream("GET", "/api/v1/stream") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        kind = ""
        for line in answer.iter_lines():
            if line.startswith("event: "):
                kind = line.removeprefix("event: ")
            elif line.startswith("data: "):
                heard.append((kind, json.loads(line.removeprefix("data: "))))
                ready.set()
            if len(heard) == 3:
                break
    telling.join()
    assert [kind for kind, _ in heard] == ["state", "event", "notice"]
    assert [camera["name"] for camera in heard[0][1]] == ["gate", "quay"]


def test_who_reads_slowly_loses_the_oldest_and_nobody_waits(site: TestSite) -> None:
    feed = site.context.require_live().feed

    async def read() -> tuple[int, str]:
        with feed.listening() as listener:
            assert listener
            for number in range(MAX_WAITING + 5):
                feed.notice(Notice("0" * 36, EventType.CAMERA_OFFLINE, str(number), 1.0))
            await asyncio.sleep(0.05)
            first = await listener.next_one(1.0)
            assert first
            return listener.missed, first.camera

    assert asyncio.run(read()) == (5, "5")


def test_the_site_in_numbers(site: TestSite) -> None:
    live = site.context.require_live()
    live.load.record(10, 0.5)
    live.load.record(30, 1.5)
    site.event(open_=True)
    with site.http() as http:
        capacity = http.get("/api/v1/capacity").json()
        assert (capacity["frames_per_busy_s"], capacity["batch_frames"]) == (20.0, 20.0)
        assert capacity["asked_per_s"] == 5.0
        summary = http.get("/api/v1/summary").json()
        assert (summary["cameras"], summary["open_events"], summary["pending_messages"]) == (1, 1, 1)
        system = http.get("/api/v1/system").json()
        assert system["disk"]["evidence_bytes"]["clips"] == 1000
        assert {"streamwatch", "torch", "av"} <= set(system["versions"])


def test_pictures_are_sent_in_the_stream_and_none_twice(site: TestSite) -> None:
    stop, sent = threading.Event(), list[dict[str, dict[str, str]]]()

    def score() -> None:
        index = 0
        while not stop.wait(0.05):
            index += 1
            site.score(index=index)  # each shows the same

    scoring = threading.Thread(target=score)
    scoring.start()
    with site.http() as http, http.stream("GET", "/api/v1/stream?pictures=320&heat=true&camera=gate&camera=quay") as answer:
        kind = ""
        for line in answer.iter_lines():
            kind = line.removeprefix("event: ") if line.startswith("event: ") else kind
            if line.startswith("data: ") and kind == "pictures":
                sent.append(json.loads(line.removeprefix("data: ")))
            if len(sent) == 5:
                break
    stop.set()
    scoring.join()
    full = [pictures["gate"] for pictures in sent if pictures]
    assert len(full) == 1, "what the reader has is not sent again"
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(full[0]["picture"]), np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape[1] == 320
    assert base64.b64decode(full[0]["heat"]).startswith(b"\x89PNG")
