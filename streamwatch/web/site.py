"""The whole site: pages and API behind one gate."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from fastapi.responses import RedirectResponse
from fastapi.staticfiles import StaticFiles
from starlette.types import ASGIApp

from streamwatch import __version__
from streamwatch.store.audit import record_action
from streamwatch.web.access import login
from streamwatch.web.access.gate import AccessGate
from streamwatch.web.access.headers import SecurityHeaders
from streamwatch.web.access.limits import BodyLimit, FailureLimiter
from streamwatch.web.access.policy import AccessPolicy
from streamwatch.web.access.principals import VIEWER, KnownRoute, require_declared, routes_of
from streamwatch.web.api.answers.idempotency import IdempotentReplies
from streamwatch.web.api.documents import examples
from streamwatch.web.api.routes import DESCRIPTION, VERSION, api_router
from streamwatch.web.context import SiteContext
from streamwatch.web.pages.rendering import render
from streamwatch.web.pages.routes import router as pages_router
from streamwatch.web.problems import Problem, answer_problems
from streamwatch.web.sharing.relay import Relay

OPENAPI = "/api/v1/openapi.json"
STATIC = Path(__file__).parent / "static"


def build_site(context: SiteContext, policy: AccessPolicy) -> ASGIApp:
    """Everything, with what every request and answer has to hold."""
    return guarded(site_app(context, policy), context, policy)


def site_app(context: SiteContext, policy: AccessPolicy) -> FastAPI:
    """The routes alone."""
    app = FastAPI(
        title="streamwatch",
        version=VERSION,
        description=DESCRIPTION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.site, app.state.access = context, policy
    answer_problems(app, answer_people)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")

    @app.get(OPENAPI, include_in_schema=False, dependencies=[VIEWER])
    def get_openapi() -> dict[str, Any]:
        return openapi_of(app)

    app.include_router(api_router())
    app.include_router(login.router)
    app.include_router(pages_router)
    require_declared(app)
    return app


def guarded(app: FastAPI, context: SiteContext, policy: AccessPolicy) -> ASGIApp:
    """The routes behind the gate."""
    stores, clock = context.stores, context.clock

    def record(action: Any) -> None:
        record_action(stores.database, action)

    once: ASGIApp = IdempotentReplies(app, stores.database, clock)
    user_header = policy.proxy.header if policy.proxy else None
    here = Relay(once, context, context.others, user_header) if context.others else once
    gate = AccessGate(here, policy, stores.access, FailureLimiter(clock), clock=clock, record=record)
    app.state.gate = gate
    return SecurityHeaders(BodyLimit(gate), secure=policy.secure)


def answer_people(request: Request, problem: Problem) -> Response:
    """A page for browsers, a document for programs; who is not known yet is led to the login."""
    if request.url.path.startswith("/api/") or "text/html" not in request.headers.get("accept", ""):
        return problem.answer()
    if problem.status == 401:
        wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"/login?next={quote(wanted, safe='')}", 303)
    return render(
        request, request.app.state.site, "problem.html.j2", problem.status, status=problem.status, fault=problem.detail
    )


def openapi_of(app: FastAPI) -> dict[str, Any]:
    """The API's document, in which each route says which role it needs."""
    document = app.openapi()
    for route in routes_of(app):
        _describe(document, route)
    for name, known in examples():  # FastAPI leaves out what is null in them
        if name in document["components"]["schemas"]:
            document["components"]["schemas"][name]["examples"] = known
    schemes = document.setdefault("components", {}).setdefault("securitySchemes", {})
    schemes["token"] = {"type": "http", "scheme": "bearer"}
    document["security"] = [{"token": []}]
    document["servers"] = [{"url": "/"}]
    document["info"]["x-streamwatch-version"] = __version__
    return document


def _describe(document: dict[str, Any], route: KnownRoute) -> None:
    for method in route.methods:
        operation = document["paths"].get(route.path, {}).get(method.lower())
        if operation is not None:
            operation["x-role"] = str(route.role or "")
