"""/metrics, /healthz and /readyz."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse

from streamwatch.health import Health
from streamwatch.metrics import Metrics

CameraStates = Callable[[], Mapping[str, str]]


def telemetry_app(metrics: Metrics, health: Health, camera_states: CameraStates) -> FastAPI:
    """The app that monitoring scrapes.

    Args:
        camera_states: the state of every camera, one of ``metrics.CAMERA_STATES``.
    """
    app = FastAPI(title="streamwatch telemetry", openapi_url=None)

    @app.get("/metrics")
    def get_metrics() -> Response:
        body, content_type = metrics.exposition()
        return Response(body, headers={"content-type": content_type})

    @app.get("/healthz")
    def get_healthz() -> JSONResponse:
        stalled = health.stalled()
        body = {"status": "stalled" if stalled else "ok", "stalled": {k: round(v, 1) for k, v in stalled.items()}}
        return JSONResponse(body, 503 if stalled else 200)

    @app.get("/readyz")
    def get_readyz() -> JSONResponse:
        states = dict(camera_states())
        lacking = sorted(name for name, state in states.items() if state not in ("running", "finished"))
        return JSONResponse({"ready": not lacking, "not_ready": lacking}, 503 if lacking else 200)

    return app
