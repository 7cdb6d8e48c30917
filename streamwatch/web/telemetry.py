"""/metrics, /healthz and /readyz."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from streamwatch.capture.readiness import Readiness
from streamwatch.health import Health
from streamwatch.metrics import Metrics

READ = ["GET", "HEAD"]


def telemetry_app(metrics: Metrics, health: Health, readiness: Callable[[], Readiness]) -> FastAPI:
    """The app that monitoring scrapes.

    Args:
        readiness: whether enough cameras scored a frame lately, and which did not.
    """
    app = FastAPI(title="streamwatch telemetry", openapi_url=None)

    @app.api_route("/metrics", methods=READ)
    def get_metrics(request: Request) -> Response:
        body, content_type = metrics.exposition(request.headers.get("accept", ""))
        return Response(body, headers={"content-type": content_type})

    @app.api_route("/healthz", methods=READ)
    def get_healthz() -> JSONResponse:
        stalled = health.stalled()
        body = {"status": "stalled" if stalled else "ok", "stalled": {k: round(v, 1) for k, v in stalled.items()}}
        return JSONResponse(body, 503 if stalled else 200)

    @app.api_route("/readyz", methods=READ)
    def get_readyz() -> JSONResponse:
        state = readiness()
        body = {"ready": state.ready, "not_ready": list(state.lacking)}
        return JSONResponse(body, 200 if state.ready else 503)

    return app
