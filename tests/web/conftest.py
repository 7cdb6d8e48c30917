"""Sites to ask."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from streamwatch.config.schema import WebConfig
from tests.web.sites import TestSite, running, site_in


@pytest.fixture
def site(tmp_path: Path) -> Iterator[TestSite]:
    """On this machine alone: nobody is asked to log in."""
    with running(site_in(tmp_path)) as made:
        yield made


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[TestSite]:
    """Everybody is asked to log in."""
    with running(site_in(tmp_path), WebConfig(login="required")) as made:
        yield made
