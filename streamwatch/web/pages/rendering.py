"""Pages from templates."""

from __future__ import annotations

from functools import cache
from typing import Any

from fastapi import Request, Response
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from streamwatch import __version__
from streamwatch.enums import Role
from streamwatch.web.access.principals import principal_of
from streamwatch.web.context import SiteContext


@cache
def environment() -> Environment:
    """Where the templates are."""
    loader = PackageLoader("streamwatch.web")
    return Environment(loader=loader, autoescape=select_autoescape(["j2"]), undefined=StrictUndefined, trim_blocks=True)


def render(request: Request, site: SiteContext, template: str, status: int = 200, /, **values: Any) -> Response:
    """A page; every template knows who asks and what they may."""
    principal = principal_of(request)
    known = {
        "title": site.title,
        "principal": principal,
        "may_operate": principal is not None and principal.role.covers(Role.OPERATOR),
        "may_administer": principal is not None and principal.role.covers(Role.ADMIN),
        "open": request.app.state.access.open,
        "live": site.live is not None,
        "shard": site.shard,
        "here": request.url.path,
        "version": __version__,
        "fault": None,
    }
    return HTMLResponse(environment().get_template(template).render({**known, **values}), status)
