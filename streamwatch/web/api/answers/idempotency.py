"""Requests that carry an ``Idempotency-Key``: who asks again with it is given the same answer, and nothing is done twice."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from sqlalchemy import Engine
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streamwatch.clock import Clock
from streamwatch.errors import StoreError
from streamwatch.store.replies import Reply, claim, release, settle
from streamwatch.web.access.origin import SAFE
from streamwatch.web.access.principals import Principal
from streamwatch.web.problems import Problem, problem_of

MAX_KEY = 255
PREFIX = "/api/"


@dataclass
class _Answer:
    """What is being answered."""

    status: int = 500
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""


class IdempotentReplies:
    """An app that does what carries a key once; it stands behind the gate, because keys are each principal's own."""

    def __init__(self, app: ASGIApp, database: Engine, clock: Clock) -> None:
        self._app, self._database, self._clock = app, database, clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        key = _key_of(scope)
        principal = scope.get("state", {}).get("principal")
        if key is None or not isinstance(principal, Principal):
            await self._app(scope, receive, send)
            return
        try:
            answer = await self._answered(scope, receive, principal.name, key)
        except Problem as problem:
            answer = problem.answer()
        except StoreError as error:
            answer = problem_of(error).answer()
        await answer(scope, receive, send)

    async def _answered(self, scope: Scope, receive: Receive, who: str, key: str) -> Response:
        if not 0 < len(key) <= MAX_KEY:
            raise Problem(422, f"an Idempotency-Key has 1 to {MAX_KEY} characters")
        body = await body_of(receive)
        digest = hashlib.sha256(
            b"\n".join((key.encode(), scope["method"].encode(), scope["raw_path"], scope["query_string"], body))
        ).hexdigest()
        known = await run_in_threadpool(claim, self._database, who, key, digest, self._clock.wall_s())
        if known is not None:
            return _again(known, digest)
        answer = await self._done(scope, body, who, key)
        return _response(answer.status, answer.headers, answer.body)

    async def _done(self, scope: Scope, body: bytes, who: str, key: str) -> _Answer:
        answer, given = _Answer(), False

        async def take() -> Message:
            nonlocal given
            given, more = True, not given
            return {"type": "http.request", "body": body, "more_body": False} if more else {"type": "http.disconnect"}

        async def keep(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer.status, answer.headers = message["status"], list(message["headers"])
            elif message["type"] == "http.response.body":
                answer.body += message.get("body", b"")

        try:
            await self._app(scope, take, keep)
        finally:
            if answer.status >= 500 or not _is_document(answer):  # it may go well the next time; a picture is not kept
                await run_in_threadpool(release, self._database, who, key)
            else:
                headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in answer.headers}
                reply = Reply("", answer.status, headers, answer.body)
                await run_in_threadpool(settle, self._database, who, key, reply)
        return answer


def _is_document(answer: _Answer) -> bool:
    return any(name.lower() == b"content-type" and b"json" in value for name, value in answer.headers)


def _again(known: Reply, digest: str) -> Response:
    if known.request_sha256 != digest:
        raise Problem(422, "this Idempotency-Key was used for another request")
    if known.status is None:
        raise Problem(409, "the request with this Idempotency-Key is still being worked on", headers={"Retry-After": "1"})
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in (known.headers or {}).items()]
    return _response(known.status, [*headers, (b"idempotency-replayed", b"true")], known.body or b"")


def _response(status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> Response:
    response = Response(body, status)
    response.raw_headers = headers
    return response


def _key_of(scope: Scope) -> str | None:
    if scope["type"] != "http" or scope["method"] in SAFE or not scope["path"].startswith(PREFIX):
        return None
    found = next((value for name, value in scope["headers"] if name == b"idempotency-key"), None)
    return None if found is None else found.decode("latin-1")


async def body_of(receive: Receive) -> bytes:
    """A request's whole body; its length is bounded before the gate.

    Raises:
        ClientDisconnect: it broke off.
    """
    body = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":  # it broke off: nobody waits for an answer, and the key is still free
            raise ClientDisconnect
        body += bytes(message.get("body", b""))
        if not message.get("more_body", False):
            return body
