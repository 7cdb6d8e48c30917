"""Logging in on the page: a token is exchanged for a session, which the browser holds and no script can read."""

from __future__ import annotations

from urllib.parse import parse_qs

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from streamwatch.web.access.gate import COOKIE, AccessGate
from streamwatch.web.access.principals import EVERYBODY
from streamwatch.web.context import Site
from streamwatch.web.pages.rendering import render
from streamwatch.web.problems import Problem

router = APIRouter(include_in_schema=False)
LASTS_S = 12 * 3600
MAX_FORM_BYTES = 4096
START = "/"


@router.get("/login", dependencies=[EVERYBODY])
def get_login(request: Request, site: Site) -> Response:
    """The form."""
    return render(request, site, "login.html.j2", next=_safe(request.query_params.get("next")))


@router.post("/login", dependencies=[EVERYBODY])
async def post_login(request: Request, site: Site) -> Response:
    """Take a token."""
    form = parse_qs((await request.body())[:MAX_FORM_BYTES].decode("utf-8", "replace"))
    target, token = _safe(form.get("next", [START])[0]), form.get("token", [""])[0].strip()
    gate: AccessGate = request.app.state.gate
    try:
        principal, session = await gate.log_in(token, request.state.address, LASTS_S)
    except Problem as problem:
        return render(request, site, "login.html.j2", problem.status, next=target, fault=problem.detail)
    request.state.acted_as = principal
    response = RedirectResponse(target, 303)
    secure = request.app.state.access.secure
    response.set_cookie(COOKIE, session, max_age=LASTS_S, httponly=True, samesite="strict", secure=secure, path="/")
    return response


@router.post("/logout", dependencies=[EVERYBODY])
def post_logout(request: Request, site: Site) -> Response:
    """Let a session go."""
    session = request.cookies.get(COOKIE)
    if session:
        site.stores.access.close_session(session)
    response = RedirectResponse("/login", 303)
    response.delete_cookie(COOKIE, path="/")
    return response


def _safe(target: str | None) -> str:
    """Where to go afterwards: a path of ours, and nowhere else."""
    ours = target and target.startswith("/") and not target.startswith(("//", "/\\")) and "\\" not in target
    return target if target and ours and target.isprintable() else START
