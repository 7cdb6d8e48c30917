"""Events by the API: pages, evidence, labels, notes."""

from __future__ import annotations

import csv
import io
import time
from typing import Any

import pytest

from streamwatch.enums import MessageState
from streamwatch.records import LivePeaks
from streamwatch.store.live_peaks import LiveRecord, save_record
from streamwatch.web.api import budgets
from tests.web.sites import Scripted, TestSite


def test_pages_follow_each_other_and_hold_every_event_once(site: TestSite) -> None:
    ids = [site.event(1_772_331_249.0 + number, "gate" if number % 2 else "quay").id for number in range(7)]
    with site.http() as http:
        found: list[str] = []
        path: str | None = "/api/v1/events?limit=3"
        while path:
            answer = http.get(path)
            found += [event["id"] for event in answer.json()]
            path = answer.links["next"]["url"] if "next" in answer.links else None
        assert found == ids[::-1]
        of_gate = http.get("/api/v1/events", params={"camera": "gate", "limit": 2})
        assert len(of_gate.json()) == 2
        assert "camera=gate" in of_gate.links["next"]["url"]
        lately = http.get("/api/v1/events", params={"since": "2026-03-01T02:14:14Z", "until": "2026-03-01T03:14:15+01:00"})
        assert [event["id"] for event in lately.json()] == [ids[5]]


@pytest.mark.parametrize(
    "query", ["cursor=abc", "cursor=WzFd", "cursor=W3RydWUsICJhIl0", "since=yesterday", "since=2026-03-01", "limit=0",
              "limit=501",
              "state=shut", "unheard_of=1", "camera=%00"],
)  # fmt: skip
def test_a_wrong_question_is_said_to_be_wrong(site: TestSite, query: str) -> None:
    with site.http() as http:
        answer = http.get(f"/api/v1/events?{query}")
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")


def test_evidence_is_sent_once_and_in_the_parts_that_a_player_asks_for(site: TestSite) -> None:
    event = site.event()
    with site.http() as http:
        known = {file["kind"]: file for file in http.get(f"/api/v1/events/{event.id}").json()["evidence"]}
        assert set(known) == {"snapshots", "clips"}
        clip = http.get(known["clips"]["href"])
        assert (clip.status_code, clip.headers["content-type"], len(clip.content)) == (200, "video/mp4", 1000)
        again = http.get(known["clips"]["href"], headers={"if-none-match": clip.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        part = http.get(known["clips"]["href"], headers={"range": "bytes=10-19"})
        assert (part.status_code, part.content) == (206, b"0123456789")
        assert http.get(f"/snapshots/{event.id}.jpg").content == http.get(known["snapshots"]["href"]).content, (
            "as messages link to"
        )


@pytest.mark.parametrize(
    "path", ["inputs/{id}.npz", "clips/..%2Fevents.db", "events.db", "clips/{id}.jpg", "models/gate.safetensors"]
)
def test_nothing_else_of_the_folder_is_given_out(site: TestSite, path: str) -> None:
    event = site.event()
    (site.folder / "inputs").mkdir()
    (site.folder / f"inputs/{event.id}.npz").write_bytes(b"what the model saw")
    with site.http() as http:
        assert http.get("/" + path.format(id=event.id)).status_code == 404
        for kind in ("inputs", "%2e%2e", "clips%2F..%2Finputs", "x"):
            assert http.get(f"/api/v1/events/{event.id}/evidence/{kind}").status_code == 404


def test_what_is_called_normal_is_taught_by_a_job_and_taken_back_by_another(site: TestSite) -> None:
    event = site.event()
    site.commands.outcome = lambda: Scripted(["taught gate 12 frames"])
    with site.http() as http:
        path = f"/api/v1/events/{event.id}/label"
        asked = http.put(path, json={"label": "anomaly"}).json()
        assert (asked["label"], asked["jobs"]) == ("anomaly", [])
        (job,) = http.put(path, json={"label": "normal"}).json()["jobs"]
        assert finished(site, job["id"])["state"] == "done"
        assert site.commands.arguments == [("events", "label", "-c", str(site.config_path), event.id, "normal")]
        assert site.reloads == [None]
        (job,) = http.put(path, json={"label": "none"}).json()["jobs"]
        assert finished(site, job["id"])["kind"] == "forget"
        assert http.get(f"/api/v1/events/{event.id}").json()["label"] is None


def finished(site: TestSite, job_id: str) -> dict[str, Any]:
    until_s = time.monotonic() + 10
    with site.http() as http:
        while (job := http.get(f"/api/v1/jobs/{job_id}").json())["state"] in {"waiting", "running"}:
            assert time.monotonic() < until_s
            time.sleep(0.01)
    known: dict[str, Any] = job
    return known


def test_many_are_labelled_at_once_and_one_that_is_not_there_labels_none(site: TestSite) -> None:
    events = [site.event(1_772_331_249.0 + number) for number in range(3)]
    ids = [event.id for event in events]
    with site.http() as http:
        missing = http.post("/api/v1/events/labels", json={"ids": [*ids, "0" * 36], "label": "anomaly"})
        assert missing.status_code == 404
        assert {event["label"] for event in http.get("/api/v1/events").json()} == {None}
        done = http.post("/api/v1/events/labels", json={"ids": [*ids, ids[0]], "label": "anomaly"})
        assert done.json()["ids"] == ids
        assert len(http.get("/api/v1/events?label=anomaly").json()) == 3


def test_a_note_is_kept_and_taken_back_and_changes_of_the_event_leave_it(site: TestSite) -> None:
    event = site.event()
    with site.http() as http:
        path = f"/api/v1/events/{event.id}/note"
        assert http.put(path, json={"note": "the gardener <b>"}).json()["note"] == "the gardener <b>"
        assert "the gardener &lt;b&gt;" in http.get(f"/events/{event.id}").text
        assert http.put(path, json={"note": "x" * 1001}).status_code == 422
        assert http.put(path, json={"note": None}).json()["note"] is None


def test_labels_are_exported_and_what_people_wrote_is_no_formula(site: TestSite) -> None:
    event = site.event()
    site.event(1_772_331_300.0, "quay")
    with site.http() as http:
        http.put(f"/api/v1/events/{event.id}/note", json={"note": '=HYPERLINK("http://evil.example")'})
        http.put(f"/api/v1/events/{event.id}/label", json={"label": "anomaly"})
        answer = http.get("/api/v1/events/export?camera=gate")
        (row,) = csv.DictReader(io.StringIO(answer.text))
        assert answer.headers["content-disposition"] == 'attachment; filename="events.csv"'
        assert (row["id"], row["label"], row["note"][:3]) == (event.id, "anomaly", "'=H")
        whole = http.get("/api/v1/events/export?format=json&limit=1").json()
        assert len(whole["events"]) == 2


def test_whom_it_was_told(site: TestSite) -> None:
    event = site.event()
    site.event(1_772_331_300.0)
    with site.http() as http:
        told = http.get(f"/api/v1/events/{event.id}/deliveries").json()
    assert [(message["type"], message["endpoint"]) for message in told] == [
        ("anomaly.ended", "ops"),
        ("anomaly.started", "ops"),
    ]
    assert {message["state"] for message in told} == {MessageState.PENDING}


def test_alarms_are_counted_as_the_state_machine_would_open_them() -> None:
    day = 86_400.0
    motion = LivePeaks(
        "", "motion", "basis", exposure=((10, day / 2), (11, day)), events=((50.0, 10.5 * day), (30.0, 11 * day))
    )
    looks = LivePeaks("", "appearance", "basis", events=((9.0, 10.5 * day + 5), (9.0, 11.5 * day)))
    both = {("", "motion"): 40.0, ("", "appearance"): 8.0}
    assert budgets.alarms_at([motion, looks], both, 0.0, closing_s=30.0) == 2, "the first two are one"
    assert budgets.alarms_at([motion, looks], both, 0.0, closing_s=1.0) == 3
    assert budgets.alarms_at([motion, looks], both, 11 * day, closing_s=30.0) == 1
    assert budgets.alarms_at([motion, looks], {("", "motion"): 20.0}, 0.0, closing_s=30.0) == 2
    assert budgets.watched_s(motion, 0.0) == 1.5 * day
    assert budgets.watched_s(motion, 11.5 * day) == 0.5 * day


def test_alarms_are_shown_beside_their_budget(site: TestSite) -> None:
    now_s, day_s = site.context.clock.wall_s(), 86_400.0
    site.event(now_s - 8 * day_s)
    site.event(now_s - 3600, "quay")
    first, *_ = (site.event(now_s - hours * 3600) for hours in (1, 30, 60))
    with site.http() as http:
        http.put(f"/api/v1/events/{first.id}/label", json={"label": "normal"})
        known = http.get("/api/v1/cameras/gate/budgets").json()
        assert (known["raised"], known["called_normal"], known["raised_per_day"]) == (3, 1, None), "nothing says how long"
        yesterday = int(now_s / day_s) - 1
        watched = LivePeaks("", "motion", "basis", exposure=((yesterday, day_s), (yesterday - 1, day_s / 2)))
        assert save_record(site.context.stores.database, ("gate", None), LiveRecord((watched,)))
        known = http.get("/api/v1/cameras/gate/budgets").json()
    assert (known["watched_days"], known["raised_per_day"]) == (1.5, 2.0)
