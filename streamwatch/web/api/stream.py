"""What happens, as it happens, as server-sent events."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from streamwatch.web.access.principals import VIEWER
from streamwatch.web.api.cameras import all_cameras
from streamwatch.web.context import Site, SiteContext
from streamwatch.web.live.feed import Listener
from streamwatch.web.problems import Problem

router = APIRouter(tags=["stream"])
STATE_EVERY_S = 1.0
LASTS_S = 300.0
"""Then the reader connects again, and it is looked at anew who it is."""
STREAM: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}, "description": "events of server-sent events"}
}


@router.get("/stream", dependencies=[VIEWER], responses=STREAM, response_class=StreamingResponse)
async def get_stream(
    site: Site, once: Annotated[bool, Query(description="end after the first state, for those who only look")] = False
) -> StreamingResponse:
    """`state` every second, `event` and `notice` as they are stored, `missed` if you read too slowly.

    A state is a list of all cameras as `/cameras` has them. The stream ends after five minutes: connect again.
    """
    live = site.require_live()
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    with live.feed.listening() as listener:
        if listener is None:
            raise Problem(503, "too many listen already", headers={"Retry-After": "10"})
    return StreamingResponse(_told(site, once=once), media_type="text/event-stream", headers=headers)


async def _told(site: SiteContext, *, once: bool) -> AsyncIterator[str]:
    live = site.require_live()
    with live.feed.listening() as listener:
        if listener is None:
            return
        began_s = site.clock.monotonic_s()
        yield "retry: 1000\n\n"
        while site.clock.monotonic_s() - began_s < LASTS_S:
            yield _message("state", await run_in_threadpool(_state, site))
            if once:
                return
            async for text in _until_next_state(site, listener):
                yield text


async def _until_next_state(site: SiteContext, listener: Listener) -> AsyncIterator[str]:
    until_s = site.clock.monotonic_s() + STATE_EVERY_S
    while (left_s := until_s - site.clock.monotonic_s()) > 0:
        happening = await listener.next_one(left_s)
        if listener.missed:
            listener.missed, missed = 0, listener.missed
            yield _message("missed", json.dumps({"count": missed}))
        if happening is not None:
            yield _message(happening.kind, json.dumps(happening.document))


def _state(site: SiteContext) -> str:
    return json.dumps([camera.model_dump(mode="json") for camera in all_cameras(site)])


def _message(kind: str, data: str) -> str:
    return f"event: {kind}\ndata: {data}\n\n"
