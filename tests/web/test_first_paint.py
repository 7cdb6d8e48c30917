"""How soon a page is there, and how large it is; measured, and so with nothing beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.web.browsers import browser, looking
from tests.web.sites import running, site_in

__all__ = ["browser"]
PAGES = ("/", "/cameras/gate", "/events", "/review", "/deliveries", "/system", "/setup", "/setup/gate")
PAGE_BYTES = 200_000
FIRST_PAINT_MS = 1000.0


@pytest.mark.alone
def test_every_page_is_small_and_there_at_once(browser: Browser, tmp_path: Path) -> None:
    with running(site_in(tmp_path)) as site:
        for number in range(30):
            site.event(1_772_331_249.0 + 10 * number)
        for path in PAGES:
            sizes: list[int] = []
            with looking(browser, site.base_url) as page:

                def count(response: Any, sizes: list[int] = sizes) -> None:
                    if response.request.resource_type in ("document", "script", "stylesheet"):
                        sizes.append(len(response.body()))

                page.on("response", count)
                page.goto(path, wait_until="load")
                page.wait_for_timeout(300)
                painted = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null")
            print(f"{path}: {sum(sizes)} bytes, painted after {painted:.0f} ms")
            assert 0 < sum(sizes) < PAGE_BYTES
            assert painted < FIRST_PAINT_MS
