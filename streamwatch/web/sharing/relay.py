"""Hands a request on to the process that can answer it: the one that watches the camera, or has an event's evidence.

Who asks is known by then, and the other process asks again: it is shown the same token or session, which it knows from the
database that both share. Only paths that are made of known parts are handed on, each once, and to the process that was meant.
"""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass

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
"""Names the process that is meant: an address may lead to another one, or back here."""
MAX_ASKED = 16
"""Of so many processes an event's evidence is asked for: a camera may have moved since."""
TIMEOUT = httpx.Timeout(30.0, connect=2.0)
_CAMERA = re.compile(r"/api/v1/cameras/(?P<camera>[A-Za-z0-9][A-Za-z0-9._-]*)/(?:picture|heat|levels)")
"""What of a camera lies in its process's memory alone; all else is in the database, or in files that are shared."""
_EVIDENCE = re.compile(r"/api/v1/events/(?P<event>[0-9a-f-]{36})/evidence/(?P<kind>[a-z]+)")
_LABEL = re.compile(r"/api/v1/events/(?P<event>[0-9a-f-]{36})/label")
_JOB = re.compile(r"/api/v1/jobs/(?P<job>[0-9a-f-]{1,64})")
_HANDED_ON = frozenset(
    (
        *("authorization", "cookie", "accept", "accept-encoding", "content-type", "range", "if-range", "if-none-match"),
        *("if-modified-since", "idempotency-key", "sec-fetch-site", "sec-fetch-mode", "sec-fetch-dest"),
    )
)
"""Headers of a request that are. Any other may be believed there and not here: who it was forwarded for, and who a proxy says
that somebody is. An ``Origin`` was looked at here, and names this site."""
_LEFT_OUT = frozenset(("connection", "keep-alive", "transfer-encoding", "trailer", "upgrade", "date", "server"))
"""Of an answer."""


@dataclass(frozen=True)
class _Asked:
    """Who could answer a request, the likeliest first.

    Attributes:
        or_here: answer it here if none of them does.
    """

    processes: tuple[OtherProcess, ...]
    or_here: bool


class Relay:
    """An app behind the gate: of what is not here, another process's answers are given.

    Args:
        user_header: in which a trusted proxy names its user; None where there is no proxy.
    """

    def __init__(self, app: ASGIApp, site: SiteContext, others: OtherProcesses, user_header: str | None) -> None:
        self._app, self._site, self._others, self._user_header = app, site, others, user_header
        self._client: httpx.AsyncClient | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        meant = _relayed_to(scope)
        if meant is not None and meant != self._others.own:
            await Problem(421, "this is not the process that was meant").answer()(scope, receive, send)
            return
        try:
            asked = await run_in_threadpool(self._to_be_asked, scope) if meant is None and _may_concern(scope) else None
            if asked and asked.processes:
                body = await body_of(receive)
                if await self._relayed(asked, scope, body, send):
                    return
                receive = _again(body)
        except StreamwatchError as error:
            await problem_of(error).answer()(scope, receive, send)
            return
        except Problem as problem:
            await problem.answer()(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _to_be_asked(self, scope: Scope) -> _Asked | None:
        """None for what is answered here.

        Raises:
            Problem: who watches the camera has no address that leads there.
        """
        path = scope["path"]
        if found := _CAMERA.fullmatch(path):
            return _Asked(self._watching(found["camera"]), or_here=False)
        if found := _EVIDENCE.fullmatch(path):
            return (
                None if self._is_here(found["event"], found["kind"]) else _Asked(self._by_event(found["event"]), or_here=True)
            )
        if found := _LABEL.fullmatch(path):
            return _Asked(self._watcher_of(found["event"]), or_here=True)
        if found := _JOB.fullmatch(path):
            known = self._site.control and self._site.control.jobs.find(found["job"])
            return None if known else _Asked(self._reachable(), or_here=True)
        return None

    def _watching(self, camera: str) -> tuple[OtherProcess, ...]:
        if self._site.watches(camera) or (process := self._others.watching(camera)) is None:
            return ()
        if process.address is None:
            where = f"shard {process.shard} on {process.host}"
            text = f"camera {camera} is watched by {where}, whose page cannot be reached from here"
            raise Problem(502, f"{text}; set `web.listen` or `web.peer_url` there")
        return (process,)

    def _watcher_of(self, event_id: str) -> tuple[OtherProcess, ...]:
        """Who watches the event's camera now, if that is another process: what the model saw of it is there."""
        try:
            camera = self._site.stores.events.find(event_id).camera
        except StreamwatchError:
            return ()  # the app says so
        process = None if self._site.watches(camera) else self._others.watching(camera)
        return (process,) if process and process.address else ()

    def _by_event(self, event_id: str) -> tuple[OtherProcess, ...]:
        """Who watches the event's camera now, and then the others, which may have watched it when it began."""
        first = self._watcher_of(event_id)
        return (*first, *(process for process in self._reachable() if process not in first))[:MAX_ASKED]

    def _reachable(self) -> tuple[OtherProcess, ...]:
        return tuple(process for process in self._others.all() if process.address)

    def _is_here(self, event_id: str, kind: str) -> bool:
        return kind not in KINDS or path_of(self._site.folder, kind, event_id).is_file()

    async def _relayed(self, asked: _Asked, scope: Scope, body: bytes, send: Send) -> bool:
        """Give the first answer that is not "there is no such thing"; False if there is none and it is to be answered here.

        Raises:
            Problem: nobody answers; httpx.HTTPError: an answer broke off that has begun.
        """
        problem: Problem | None = None
        for number, process in enumerate(asked.processes, 1):
            answering = _Answering(send)
            try:
                last = number == len(asked.processes) and not asked.or_here
                if await self._answered_by(process, scope, body, answering, last=last):
                    return True
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                if answering.began:
                    raise
                reason = f"{type(error).__name__}{': certificate' if 'CERTIFICATE' in str(error) else ''}"
                problem = Problem(502, f"shard {process.shard} on {process.host} does not answer ({reason})")
            except Problem as refused:
                problem = refused
        if problem and not asked.or_here:
            raise problem
        return False

    async def _answered_by(
        self, process: OtherProcess, scope: Scope, body: bytes, answering: _Answering, *, last: bool
    ) -> bool:
        """Whether its answer was given."""
        # Of the path that was matched, in which nothing needs encoding: what was sent may mean something else to a client.
        url = httpx.URL(f"{process.address}{scope['path']}", query=scope["query_string"])
        headers = [*self._handed_on(scope), (RELAYED.encode(), process.name.encode())]
        async with self._asking().stream(scope["method"], url, headers=headers, content=body) as answer:
            if answer.status_code == 404 and not last:
                return False
            if answer.status_code in (401, 421):
                text = f"shard {process.shard} on {process.host} does not know who asks, or its address leads elsewhere"
                raise Problem(502, f"{text}; all processes of a site need the same `web.login` and `web.proxy`")
            await answering.give(answer)
        return True

    def _handed_on(self, scope: Scope) -> list[tuple[bytes, bytes]]:
        """A request's headers that are; and a proxy's word of who asks, if this gate believed it."""
        by_proxy = self._user_header is not None and scope.get("state", {}).get("proxied", False)
        named = {*_HANDED_ON, *({self._user_header} if by_proxy else ())}
        return [(name.lower(), value) for name, value in scope["headers"] if name.lower().decode("latin-1") in named]

    def _asking(self) -> httpx.AsyncClient:
        """One for all requests, which keeps no connection open."""
        if self._client is None:
            limits = httpx.Limits(max_keepalive_connections=0)
            self._client = httpx.AsyncClient(
                limits=limits, timeout=TIMEOUT, trust_env=False, verify=ssl.create_default_context()
            )
        return self._client


class _Answering:
    """An answer that is handed back piece by piece; one that has begun cannot become another."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.began = False

    async def give(self, answer: httpx.Response) -> None:
        """All of it."""
        self.began = True
        kept = [(name.lower(), value) for name, value in answer.headers.raw if name.lower().decode("latin-1") not in _LEFT_OUT]
        await self._send({"type": "http.response.start", "status": answer.status_code, "headers": kept})
        async for part in answer.aiter_raw():
            await self._send({"type": "http.response.body", "body": part, "more_body": True})
        await self._send({"type": "http.response.body", "body": b""})


def _may_concern(scope: Scope) -> bool:
    """Whether somebody who is known asks for something that may be another process's."""
    known = scope["type"] == "http" and scope.get("state", {}).get("principal") is not None
    return known and any(pattern.fullmatch(scope["path"]) for pattern in (_CAMERA, _EVIDENCE, _LABEL, _JOB))


def _relayed_to(scope: Scope) -> str | None:
    """The process that another one meant; None for a request of its own."""
    named = (value for name, value in scope.get("headers", ()) if name == RELAYED.encode())
    return next((value.decode("latin-1") for value in named), None)


def _again(body: bytes) -> Receive:
    """A request's body, read already, for who reads it again."""

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive
