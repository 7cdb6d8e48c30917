"""Hands a request on to the process that can answer it: the one that watches the camera, or has an event's evidence.

Who asks is known by then, and the other process asks again: it is shown the same token or session, which it knows from the
database that both share. What was handed on once is not handed on again.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterable

import httpx
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Receive, Scope, Send

from streamwatch.errors import StreamwatchError
from streamwatch.evidence.layout import KINDS, path_of
from streamwatch.web.api.answers.idempotency import body_of
from streamwatch.web.context import SiteContext
from streamwatch.web.problems import Problem, problem_of
from streamwatch.web.sharing.others import OtherProcess, OtherProcesses

RELAYED = "x-streamwatch-relayed"
MAX_ASKED = 16
"""Of so many processes an event's evidence is asked for: a camera may have moved since."""
TIMEOUT = httpx.Timeout(30.0, connect=2.0)
_CAMERA = re.compile(r"/api/v1/(?:cameras/(?=[^/]+/.)|models/)([^/]+)(?:/.*)?")
"""What of a camera is its process's own: all but its document, which travels by itself."""
_EVENT = re.compile(r"/api/v1/events/([0-9a-f-]{36})(?:/(?:evidence/([a-z]+)|label))?")
_OF_ONE_HOP = frozenset(
    ("connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "host", "origin", "content-length")
)
"""Headers that are not handed on; an ``Origin`` was looked at here, and names this site."""
_OF_THE_ANSWER = _OF_ONE_HOP - {"content-length"} | {"date", "server"}


class Relay:
    """An app behind the gate: of what is not here, another process's answers are given."""

    def __init__(self, app: ASGIApp, site: SiteContext, others: OtherProcesses) -> None:
        self._app, self._site, self._others = app, site, others
        self._client: httpx.AsyncClient | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            asked = await run_in_threadpool(self._to_be_asked, scope) if self._may_concern_others(scope) else []
            if asked:
                await self._relay(asked, scope, await body_of(receive), send)
                return
        except StreamwatchError as error:
            await problem_of(error).answer()(scope, receive, send)
            return
        except Problem as problem:
            await problem.answer()(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _may_concern_others(self, scope: Scope) -> bool:
        if scope["type"] != "http" or scope.get("state", {}).get("principal") is None:
            return False
        relayed = any(name == RELAYED.encode() for name, _ in scope["headers"])
        return not relayed and bool(_CAMERA.fullmatch(scope["path"]) or _EVENT.fullmatch(scope["path"]))

    def _to_be_asked(self, scope: Scope) -> list[OtherProcess]:
        """Who can answer, the likeliest first; nobody for what is answered here."""
        if found := _CAMERA.fullmatch(scope["path"]):
            return self._watching(found[1])
        found = _EVENT.fullmatch(scope["path"])
        camera = self._camera_of(found[1]) if found else None
        if not found or camera is None:
            return []
        event_id, kind = found[1], found[2]
        if scope["method"] == "GET" and self._is_here(event_id, kind):
            return []
        watching = self._watching(camera)
        rest = [process for process in self._others.all() if kind and process.address and process not in watching]
        return [*watching, *rest][:MAX_ASKED]

    def _watching(self, camera: str) -> list[OtherProcess]:
        """The process that watches a camera; nobody if this one does, or none.

        Raises:
            Problem: it has no address that leads there.
        """
        if self._site.watches(camera) or (process := self._others.watching(camera)) is None:
            return []
        if process.address is None:
            where = f"shard {process.shard} on {process.host}"
            text = f"camera {camera} is watched by {where}, whose page cannot be reached from here"
            raise Problem(502, f"{text}; set `web.listen` or `web.peer_url` there")
        return [process]

    def _camera_of(self, event_id: str) -> str | None:
        try:
            return self._site.stores.events.find(event_id).camera
        except StreamwatchError:
            return None  # the app says so

    def _is_here(self, event_id: str, kind: str | None) -> bool:
        kinds = (kind,) if kind else ("starts", "snapshots", "evidence")
        return any(path_of(self._site.folder, each, event_id).is_file() for each in kinds if each in KINDS)

    async def _relay(self, asked: list[OtherProcess], scope: Scope, body: bytes, send: Send) -> None:
        """Give the first answer that is not "there is no such thing", else the last one.

        Raises:
            Problem: nobody answers.
        """
        for number, process in enumerate(asked, 1):
            last = number == len(asked)
            try:
                if await self._answered_by(process, scope, body, send, last=last):
                    return
            except httpx.HTTPError as error:
                if last:
                    text = f"shard {process.shard} on {process.host} does not answer ({type(error).__name__})"
                    raise Problem(502, text) from None

    async def _answered_by(self, process: OtherProcess, scope: Scope, body: bytes, send: Send, *, last: bool) -> bool:
        """Whether its answer was given."""
        query = scope["query_string"].decode("latin-1")
        url = f"{process.address}{scope['raw_path'].decode('latin-1')}{'?' if query else ''}{query}"
        headers = [*_kept(scope["headers"], _OF_ONE_HOP), (RELAYED.encode(), b"1")]
        async with self._asking().stream(scope["method"], url, headers=headers, content=body) as answer:
            if answer.status_code == 404 and not last:
                return False
            if answer.status_code == 401:
                text = f"shard {process.shard} on {process.host} does not know who asks"
                raise Problem(502, f"{text}; all processes of a site need the same `web.login` and `web.proxy`")
            kept = _kept(answer.headers.raw, _OF_THE_ANSWER)
            await send({"type": "http.response.start", "status": answer.status_code, "headers": kept})
            async for part in answer.aiter_raw():
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        return True

    def _asking(self) -> httpx.AsyncClient:
        """One for all requests, which keeps no connection open."""
        if self._client is None:
            limits = httpx.Limits(max_keepalive_connections=0)
            self._client = httpx.AsyncClient(
                limits=limits, timeout=TIMEOUT, trust_env=False, verify=ssl.create_default_context()
            )
        return self._client


def _kept(headers: Iterable[tuple[bytes, bytes]], left_out: frozenset[str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower(), value) for name, value in headers if name.lower().decode("latin-1") not in left_out]
