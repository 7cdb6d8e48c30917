"""The pages as people use them, in a real browser, on a real daemon with simulated cameras."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from streamwatch.config.loading import load_config
from streamwatch.config.schema import WebConfig
from streamwatch.enums import Role
from tests.web.browsers import PASSWORD, Watched, browser, looking, until, until_shown, watched
from tests.web.sites import running, site_in

__all__ = ["browser"]
pytestmark = [pytest.mark.long, pytest.mark.slow(190), pytest.mark.timeout(300)]
PAGES = ("/", "/cameras/square", "/events", "/review", "/deliveries", "/system", "/setup", "/setup/square")


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with watched(tmp_path_factory.mktemp("site")) as made:
        yield made


@pytest.fixture
def page(browser: Browser, daemon: Watched) -> Iterator[Page]:
    with looking(browser, daemon.base_url) as made:
        yield made


@pytest.fixture(scope="module")
def event(daemon: Watched) -> dict[str, Any]:
    """One that has ended, with its clip."""
    daemon.change("    alarm_budget: 1/day\n", "    alarm_budget: 1/day\n    threshold: 0.01\n")
    until(lambda: daemon.get("/events?camera=square"), 60)
    daemon.change("    threshold: 0.01\n", "")
    newest: dict[str, Any] = {}

    def ended() -> bool:
        known: Any = daemon.get("/events?camera=square")
        newest.update(known[-1])
        return newest["end"] is not None and any(file["kind"] == "clips" for file in newest["evidence"])

    until(ended, 60)
    return newest


def test_a_picture_is_seen_as_it_is_now_and_the_level_runs(page: Page) -> None:
    page.goto("/")
    picture = page.locator("article[data-camera=square] img.picture")
    expect(picture).to_have_js_property("complete", True)
    until_shown(page, "document.querySelector('[data-camera=square] .picture').naturalWidth > 0")
    first = picture.get_attribute("src")
    until_shown(page, f"document.querySelector('[data-camera=square] .picture').src !== '{first}'")
    expect(page.locator("article[data-camera=square] .figures")).to_contain_text("frames/s")
    drawn = "canvas => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some(value => value)"
    assert page.locator("article[data-camera=square] canvas").evaluate(drawn)
    page.locator("#opacity").fill("100")
    until_shown(page, "document.querySelector('[data-camera=square] .heat').naturalWidth === 64")


def test_a_page_that_is_hidden_asks_for_no_picture(page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/picture" in request.url else None)
    page.goto("/")
    until_shown(page, "document.querySelector('.picture')?.naturalWidth > 0")
    hide = "Object.defineProperty(document, 'hidden', {value: true}); document.dispatchEvent(new Event('visibilitychange'))"
    page.evaluate(hide)
    page.wait_for_timeout(1500)
    asked.clear()
    page.wait_for_timeout(2500)
    assert asked == []


def test_an_event_appears_by_itself(page: Page, daemon: Watched) -> None:
    page.goto("/events")
    page.evaluate("window.stayed = true")
    before = page.locator("article.event").count()
    daemon.change("  gate:\n", "  gate:\n    threshold: 0.01\n")
    try:
        until_shown(page, f"document.querySelectorAll('article.event').length > {before}")
        expect(page.locator("article.event").first).to_contain_text("gate")
        assert page.evaluate("window.stayed"), "the page was not loaded anew"
    finally:
        daemon.change("    threshold: 0.01\n", "")


def test_its_clip_plays(page: Page, event: dict[str, Any]) -> None:
    page.goto(f"/events/{event['id']}")
    page.locator("video").evaluate("video => { video.muted = true; return video.play(); }")
    until_shown(page, "document.querySelector('video').currentTime > 0.2")
    assert page.locator("video").evaluate("video => video.videoWidth") == 640
    until_shown(page, "[...document.images].every(image => image.complete && image.naturalWidth > 0)")


def test_what_is_called_normal_changes_the_model(page: Page, daemon: Watched, event: dict[str, Any]) -> None:
    page.goto(f"/events/{event['id']}")
    page.get_by_role("button", name="Normal", exact=True).click()
    expect(page.locator("#job")).to_contain_text("teach: done", timeout=90_000)
    history: Any = daemon.get("/models/square/history")
    assert (history[0]["change"], event["id"] in history[0]["text"]) == ("taught", True)
    page.locator("#note").fill("the gardener")
    page.get_by_role("button", name="Keep the note").click()
    expect(page.locator("#told")).to_contain_text("The note is kept.")
    known: Any = daemon.get(f"/events/{event['id']}")
    assert (known["label"], known["note"]) == ("normal", "the gardener")


def test_events_are_judged_by_keyboard(page: Page, daemon: Watched, event: dict[str, Any]) -> None:
    page.goto("/review")
    page.locator("#all").check()
    expect(page.locator("#reviewed h2")).to_be_visible()
    page.locator("h1").click()
    page.keyboard.press("a")
    until(lambda: any(known["label"] == "anomaly" for known in list_of(daemon.get("/events"))))


def list_of(document: Any) -> list[dict[str, Any]]:
    assert isinstance(document, list)
    return document


def test_a_polygon_that_is_drawn_is_in_the_file_and_comments_stay(page: Page, daemon: Watched) -> None:
    page.goto("/setup/gate")
    until_shown(page, "document.querySelector('.picture')?.naturalWidth > 0")
    page.wait_for_timeout(300)
    box = page.locator("#drawn").bounding_box()
    assert box
    for x, y in ((0.1, 0.1), (0.5, 0.1), (0.5, 0.4)):
        page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
    page.locator("#drawn").press("Enter")
    expect(page.locator("#polygons li")).to_have_count(1)
    page.get_by_role("button", name="Save to the configuration").click()
    expect(page.locator("#saved")).to_contain_text("Saved")
    (polygon,) = load_config(daemon.config_path).cameras["gate"].ignore
    assert [tuple(round(value, 1) for value in corner) for corner in polygon] == [(0.1, 0.1), (0.5, 0.1), (0.5, 0.4)]
    text = daemon.config_path.read_text()
    assert all(comment in text for comment in ("# Kept by the night watch.", "# the fountain", "# north", "# the pager"))


def test_the_budget_slider_says_what_each_setting_would_have_raised(page: Page, daemon: Watched) -> None:
    page.goto("/setup/square")
    slider, would = page.locator("#budget"), page.locator("#would")
    expect(would).to_contain_text("1 a day: ")
    expect(page.locator("#raised")).to_have_text(re.compile(r"^\d+ alarms were raised"))
    slider.focus()
    page.keyboard.press("ArrowRight")
    expect(would).to_contain_text("2 a day: ")
    page.get_by_role("button", name="Take this budget").click()
    until(lambda: load_config(daemon.config_path).cameras["square"].alarm_budget == 2)
    assert "alarm_budget: 2/day" in daemon.config_path.read_text()


def test_a_camera_is_added_learned_and_watched(page: Page, daemon: Watched) -> None:
    page.goto("/setup")
    page.locator("#name").fill("yard")
    page.locator("#source").fill(daemon.spare.url)
    page.locator("#user").fill("viewer")
    page.locator("#password").fill("a wrong one")
    page.get_by_role("button", name="Test picture").click()
    expect(page.locator("#tested-text")).to_contain_text("refuses the user or password")
    page.locator("#password").fill(PASSWORD)
    page.get_by_role("button", name="Test picture").click()
    expect(page.locator("#tested-text")).to_contain_text("It gives this picture.")
    page.locator("#learn").select_option("30s")
    page.get_by_role("button", name="Add and learn").click()
    expect(page.locator("#jobs")).to_contain_text("learn yard")
    expect(page.locator("#jobs .state").first).to_have_text("done", timeout=150_000)
    until(lambda: any(c["name"] == "yard" and c["scored"] > 0 for c in list_of(daemon.get("/cameras"))), 60)
    assert PASSWORD not in daemon.config_path.read_text()
    assert "# north" in daemon.config_path.read_text()


def test_a_delivery_is_sent_again(page: Page, daemon: Watched, event: dict[str, Any]) -> None:
    page.goto("/deliveries")
    row = page.locator("#messages tbody tr", has_text="delivered").first
    expect(row).to_be_visible()
    before = len(daemon.receiver.received)
    ids = {request.message_id for request in daemon.receiver.received}
    row.get_by_role("button", name="Send again").click()
    expect(page.locator("#told")).to_contain_text("1 messages wait to be sent again")
    until(lambda: any(request.message_id in ids for request in daemon.receiver.received[before:]))  # others may come, too
    page.get_by_role("button", name="Test").click()
    expect(page.locator("#told")).to_contain_text("ops: HTTP 2")


def test_nobody_enters_without_a_token_nor_further_than_it_reaches(browser: Browser, tmp_path: Path) -> None:
    with running(site_in(tmp_path), WebConfig(login="required")) as site, looking(browser, site.base_url) as page:
        page.goto("/events")
        expect(page).to_have_url(f"{site.base_url}/login?next=%2Fevents")
        page.get_by_label("Your token").fill("swt_wrong")
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("alert")).to_contain_text("this token is none")
        page.get_by_label("Your token").fill(site.token(Role.VIEWER))
        page.get_by_role("button", name="Log in").click()
        expect(page).to_have_url(f"{site.base_url}/events")
        expect(page.get_by_role("navigation").get_by_role("link", name="Set-up")).to_have_count(0)
        page.goto("/setup")
        expect(page.get_by_role("alert")).to_contain_text("this needs the role admin")
        page.get_by_role("button", name="Log out").click()
        page.goto("/events")
        expect(page).to_have_url(f"{site.base_url}/login?next=%2Fevents")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_no_page_has_a_serious_fault_for_those_who_see_or_point_otherwise(
    browser: Browser, daemon: Watched, path: str, scheme: Any
) -> None:
    context = browser.new_context(base_url=daemon.base_url, color_scheme=scheme, viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.goto(path)
    page.wait_for_timeout(1200)
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    wide = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    context.close()
    worst = (fault for fault in found if fault["impact"] in ("serious", "critical"))
    serious = [f"{fault['id']}: {fault['nodes'][0]['html'][:120]}" for fault in worst]
    assert serious == []
    assert not wide, "it fits a telephone"


def test_times_are_those_of_the_one_who_looks(browser: Browser, daemon: Watched, event: dict[str, Any]) -> None:
    context = browser.new_context(base_url=daemon.base_url, timezone_id="Asia/Tokyo", locale="en-GB")
    page = context.new_page()
    page.goto(f"/events/{event['id']}")
    shown = page.locator("h1 time")
    expect(shown).to_have_attribute("title", event["start"])
    hour = (int(event["start"][11:13]) + 9) % 24
    expect(shown).to_contain_text(f"{hour:02d}:{event['start'][14:16]}")
    context.close()


def test_a_daemon_that_is_gone_is_told(browser: Browser, tmp_path: Path) -> None:
    with running(site_in(tmp_path)) as site, looking(browser, site.base_url) as page:
        page.goto("/deliveries")
        page.route("**/api/**", lambda route: route.abort())
        page.locator("select[name=state]").select_option("dead")
        expect(page.locator("#told")).to_contain_text("streamwatch does not answer; is the daemon running?")


def test_pages_of_events_alone_ask_for_nothing_that_is_not_there(browser: Browser, tmp_path: Path) -> None:
    """As the demo serves them: no daemon watches."""
    site = site_in(tmp_path)
    site.context = replace(site.context, live=None)
    with running(site) as shown, looking(browser, shown.base_url) as page:
        refused: list[str] = []
        page.on("response", lambda response: refused.append(response.url) if response.status >= 400 else None)
        for path in ("/", "/events", "/review", "/system"):
            page.goto(path)
            page.wait_for_timeout(1500)
        page.wait_for_timeout(5000)
        expect(page.locator(".lost")).to_have_count(0)
    assert refused == []
