"""What happens, as it happens, as server-sent events: states and pictures every second, made once for all who listen."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from streamwatch.web.access.principals import VIEWER
from streamwatch.web.api.cameras import all_cameras
from streamwatch.web.context import LiveView, Site, SiteContext
from streamwatch.web.live.feed import Listener
from streamwatch.web.live.pictures import WIDTHS_PX, Shown
from streamwatch.web.live.shared import Shared
from streamwatch.web.problems import Problem

T = TypeVar("T")
router = APIRouter(tags=["stream"])
STATE_EVERY_S = 1.0
MAX_PICTURES = 64
"""Of so many cameras one reader is sent pictures; a page asks for those that are seen."""
LASTS_S = 300.0
"""Then the reader connects again, and it is looked at anew who it is."""
STREAM: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}, "description": "server-sent events"}
}


@dataclass
class _Looked:
    """What one reader looks at.

    Attributes:
        cameras: whose pictures; empty for all.
        width_px: of the pictures; None for a reader who wants none.
        sent: by camera and kind, the tag of the last picture.
    """

    cameras: frozenset[str] = frozenset()
    width_px: int | None = None
    heat: bool = False
    sent: dict[tuple[str, str], str] = field(default_factory=dict)

    def is_new(self, camera: str, kind: str, shown: Shown) -> bool:
        """Whether the reader was not sent it yet; from now on it was."""
        if self.sent.get((camera, kind)) == shown.tag:
            return False
        self.sent[camera, kind] = shown.tag
        return True


@router.get("/stream", dependencies=[VIEWER], responses=STREAM, response_class=StreamingResponse)
def get_stream(
    site: Site,
    *,
    pictures: Annotated[int | None, Query(ge=1, le=10_000, description="pixels across; none are sent without it")] = None,
    heat: Annotated[bool, Query(description="and the maps of levels that lie over them")] = False,
    camera: Annotated[list[str] | None, Query(max_length=1000, description="only these cameras' pictures")] = None,
    once: Annotated[bool, Query(description="end after the first state, for those who only look")] = False,
) -> StreamingResponse:
    """`state` every second, `event` and `notice` as they are stored, `pictures` if asked for, `missed` if you read too slowly.

    A state is a list of all cameras as `/cameras` has them. Pictures are JPEG, maps PNG, both in base64, by camera; those that
    you have are not sent again, and of 64 cameras at most. The stream ends after five minutes: connect again.
    """
    live = site.require_live()
    if not live.feed.has_room():
        raise Problem(503, "too many listen already", headers={"Retry-After": "10"})
    width = None if pictures is None else next((w for w in WIDTHS_PX if w >= pictures), WIDTHS_PX[-1])
    looked = _Looked(frozenset(camera or ()), width, heat)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_told(site, looked, once=once), media_type="text/event-stream", headers=headers)


async def _told(site: SiteContext, looked: _Looked, *, once: bool) -> AsyncIterator[str]:
    live = site.require_live()
    with live.feed.listening() as listener:
        if listener is None:
            return
        began_s = site.clock.monotonic_s()
        yield "retry: 1000\n\n"
        while site.clock.monotonic_s() - began_s < LASTS_S:
            yield await _shared(live.state, lambda: _state(site))
            if once:
                return
            if looked.width_px is not None:
                yield await _pictures(live, looked, looked.width_px)
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
    if elsewhere := site.require_live().elsewhere:
        elsewhere.look(site.clock.wall_s())
    return _message("state", json.dumps([camera.model_dump(mode="json") for camera in all_cameras(site)]))


async def _pictures(live: LiveView, looked: _Looked, width_px: int) -> str:
    """Those that are new to the reader; base64 needs no escaping, so that they are put together as they are."""
    cameras = [name for name in live.cameras.names() if not looked.cameras or name in looked.cameras][:MAX_PICTURES]
    for camera in cameras:
        live.pictures.want(camera)
    glance = live.pictures.glance(width_px, heat=looked.heat)
    known = await _shared(glance.shared, glance.make)
    parts = []
    for camera in cameras:
        shown = known.get(camera, {}).items()
        fresh = [f'"{kind}":"{one.base64}"' for kind, one in shown if looked.is_new(camera, kind, one)]
        if fresh:
            parts.append(f"{json.dumps(camera)}:{{{','.join(fresh)}}}")
    return _message("pictures", f"{{{','.join(parts)}}}")


async def _shared(shared: Shared[T], make: Callable[[], T]) -> T:
    """What is shared by all who ask; made, if it must be, where it holds nobody up."""
    found = shared.peek()
    return await run_in_threadpool(shared.get, make) if found is None else found


def _message(kind: str, data: str) -> str:
    return f"event: {kind}\ndata: {data}\n\n"
