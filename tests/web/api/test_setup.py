"""Setting cameras up by the API."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from streamwatch.web.api.setup import with_credentials
from tests.conftest import encode, moving_square
from tests.web.api.test_events import finished
from tests.web.sites import Scripted, TestSite


def test_a_camera_is_added_learned_and_only_then_watched(site: TestSite) -> None:
    site.commands.outcome = lambda: Scripted(["mast: 30 of 60 frames, 5.0 fps", "learned"])
    asked = {
        "name": "mast",
        "source": "rtsp://10.0.0.9/1",
        "credentials": {"user": "me", "password": "top s3cret"},
        "learn": "30s",
    }
    with site.http() as http:
        added = http.post("/api/v1/cameras", json=asked)
        assert added.status_code == 201
        assert added.json()["job"]["kind"] == "learn"
        job = finished(site, added.json()["job"]["id"])
        assert (job["state"], job["share"]) == ("done", 0.5)
        text = http.get("/api/v1/config").json()["text"]
        assert http.post("/api/v1/cameras", json=asked).status_code == 409
    assert site.commands.arguments == [("fit", "-c", str(site.config_path), "mast", "--live", "30s")]
    camera = site.config.cameras["mast"]
    assert camera.enabled
    assert camera.source.get_secret_value() == "rtsp://me:top%20s3cret@10.0.0.9/1"
    assert "rtsp://me:${CAMERA_MAST_" in site.config_path.read_text()
    assert "top s3cret" not in text + site.config_path.read_text()
    assert "# repaired in May" in site.config_path.read_text()


def test_a_camera_whose_learning_fails_is_not_watched(site: TestSite) -> None:
    site.commands.outcome = lambda: Scripted(["error: rtsp://10.0.0.9/1: refuses"], 1)
    with site.http() as http:
        added = http.post("/api/v1/cameras", json={"name": "mast", "source": "rtsp://10.0.0.9/1"}).json()
        job = finished(site, added["job"]["id"])
    assert (job["state"], job["lines"]) == ("failed", ["error: rtsp://10.0.0.9/1: refuses"])
    assert not site.config.cameras["mast"].enabled
    assert site.reloads == []


def test_keys_of_a_camera_are_changed_and_the_rest_stays(site: TestSite) -> None:
    triangle = [[0.1, 0.1], [0.5, 0.1], [0.5, 0.5]]
    with site.http() as http:
        change = {
            "alarm_budget": "1/week",
            "ignore": [triangle],
            "zones": {"door": {"polygon": triangle, "alarm_budget": "2/day"}},
        }
        assert http.patch("/api/v1/cameras/gate", json=change).status_code == 200
        assert http.patch("/api/v1/cameras/gate", json={"zones": {"door": None}}).status_code == 200
        for wrong in (
            {"alarm_budget": "often"},
            {"ignore": [[[0, 0]]]},
            {"source": "rtsp://elsewhere/"},
            {"zones": {"a b": None}},
        ):
            assert http.patch("/api/v1/cameras/gate", json=wrong).status_code == 422, wrong
        assert http.patch("/api/v1/cameras/nowhere", json={}).status_code == 404
    camera = site.config.cameras["gate"]
    assert camera.alarm_budget == pytest.approx(1 / 7)
    assert camera.zones == {}
    assert len(camera.ignore) == 1
    assert "hidden-word@127.0.0.1:9/stream   # repaired in May" in site.config_path.read_text()


def test_the_file_is_shown_checked_and_replaced(site: TestSite) -> None:
    with site.http() as http:
        shown = http.get("/api/v1/config")
        known = shown.json()
        assert shown.headers["etag"] == f'"{known["tag"]}"'
        assert "hidden-word" not in known["text"]
        checked = http.post(
            "/api/v1/config/validate", json={"text": "version: 1\ncameras:\n  a: {source: x, fps: -1}\n"}
        ).json()
        assert (checked["valid"], "site.yaml:3: cameras.a.fps" in checked["problems"][0]) == (False, True)
        text = site.config_path.read_text().replace("1/day", "3/day")
        stale = http.put("/api/v1/config", json={"text": text}, headers={"if-match": '"0000"'})
        assert stale.status_code == 412
        assert (
            http.put("/api/v1/config", json={"text": "version: 9"}, headers={"if-match": shown.headers["etag"]}).status_code
            == 422
        )
        assert http.put("/api/v1/config", json={"text": text}, headers={"if-match": shown.headers["etag"]}).status_code == 200
        assert http.get("/api/v1/config/schema").json()["title"] == "Config"
    assert site.config.cameras["gate"].alarm_budget == 3


def test_a_camera_is_removed(site: TestSite) -> None:
    with site.http() as http:
        assert http.delete("/api/v1/cameras/quay").status_code == 200
        assert http.delete("/api/v1/cameras/quay").status_code == 404
        last = http.delete("/api/v1/cameras/gate")
    assert (last.status_code, list(site.config.cameras)) == (422, ["gate"]), "the last one stays"


def test_the_first_picture_of_a_source_or_why_there_is_none(site: TestSite, tmp_path: Path) -> None:
    video = encode(tmp_path / "a.mp4", moving_square(5))
    with site.http() as http:
        answer = http.post("/api/v1/probe", json={"source": str(video)})
        assert answer.headers["content-type"] == "image/jpeg"
        picture = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None
        refused = {"source": "rtsp://127.0.0.1:9/x", "credentials": {"user": "me", "password": "never-shown-1"}}
        gone = http.post("/api/v1/probe", json=refused)
        assert gone.status_code == 502
        assert "never-shown-1" not in gone.text
        assert http.post("/api/v1/probe", json={"source": str(tmp_path / "none.mp4")}).status_code == 422


def test_credentials_take_the_place_of_others() -> None:
    assert with_credentials("RTSP://old:one@host:1/a@b", "me", "${P}") == "RTSP://me:${P}@host:1/a@b"
    assert with_credentials("rtsp://host/a", "me", "x") == "rtsp://me:x@host/a"


def test_models_that_are_not_there_and_jobs_that_are_not(site: TestSite) -> None:
    with site.http() as http:
        assert http.get("/api/v1/models/gate").status_code == 404
        assert http.get("/api/v1/models/gate/history").json() == []
        assert http.post("/api/v1/models/gate/rollback", json={}).status_code == 404
        assert http.post("/api/v1/models/gate/learn", json={"live": None}).status_code == 422
        assert http.post("/api/v1/models/gate/learn", json={"live": "soon"}).status_code == 422
        assert http.post("/api/v1/models/gate/update").status_code == 202
        assert http.post("/api/v1/jobs/none/cancel").status_code == 404


def test_deliveries_are_listed_shown_and_sent_again(site: TestSite) -> None:
    site.event()
    with site.http() as http:
        (end,) = http.get("/api/v1/endpoints").json()
        assert (end["name"], end["pending"], end["url"]) == ("ops", 2, "http://127.0.0.1:9/hook/***")
        first = http.get("/api/v1/deliveries?limit=1")
        (older,) = http.get(first.links["next"]["url"]).json()
        detail = http.get(f"/api/v1/deliveries/{older['number']}").json()
        assert (detail["content"], detail["tries"]) == ({"a": 1}, [])
        assert http.get("/api/v1/deliveries/99").status_code == 404
        assert http.post("/api/v1/deliveries/replay", json={"numbers": [older["number"]]}).json() == {"count": 1}
        assert http.post("/api/v1/deliveries/replay", json={"dead": True}).json() == {"count": 0}
        assert http.post("/api/v1/deliveries/replay", json={}).status_code == 422
        assert http.post("/api/v1/endpoints/nobody/test").status_code == 404
        assert http.post("/api/v1/endpoints/mqtt/test").status_code == 409
        assert http.post("/api/v1/endpoints/ops/enable").json() == {"count": 0}


def test_a_camera_that_was_not_learned_is_enabled_when_it_is(site: TestSite) -> None:
    site.commands.outcome = lambda: Scripted(["error: it refuses"], 1)
    with site.http() as http:
        added = http.post("/api/v1/cameras", json={"name": "mast", "source": "rtsp://10.0.0.9/1"}).json()
        finished(site, added["job"]["id"])
        site.commands.outcome = Scripted
        job = http.post("/api/v1/models/mast/learn", json={"live": "30s"}).json()
        assert finished(site, job["id"])["state"] == "done"
    assert site.config.cameras["mast"].enabled


@pytest.mark.parametrize("learn", ["1..5m", "0s", "9999h"])
def test_what_cannot_be_learned_is_refused_before_anything_is_written(site: TestSite, learn: str) -> None:
    before = site.config_path.read_text()
    asked = {
        "name": "mast",
        "source": "rtsp://10.0.0.9/1",
        "learn": learn,
        "credentials": {"user": "me", "password": "never-kept"},
    }
    with site.http() as http:
        assert http.post("/api/v1/cameras", json=asked).status_code == 422
    assert site.config_path.read_text() == before
    assert not (site.config_path.parent / "secrets").exists()


def test_a_page_that_is_older_overwrites_nothing(site: TestSite) -> None:
    with site.http() as http:
        tag = http.get("/api/v1/config").json()["tag"]
        triangle = [[0.1, 0.1], [0.5, 0.1], [0.5, 0.5]]
        assert http.patch("/api/v1/cameras/gate", json={"privacy": [triangle]}).status_code == 200
        stale = http.patch("/api/v1/cameras/gate", json={"privacy": []}, headers={"if-match": f'"{tag}"'})
        assert stale.status_code == 412
        assert http.patch("/api/v1/cameras/gate", json={"fps": 2}, headers={"if-match": "*"}).status_code == 200
    assert len(site.config.cameras["gate"].privacy) == 1
