"""Finds out who asks, before any route is chosen, and writes down what they did."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from starlette.concurrency import run_in_threadpool
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streamwatch.clock import Clock
from streamwatch.enums import Role
from streamwatch.errors import StoreError
from streamwatch.store.access import AccessStore, Token
from streamwatch.store.audit import Action
from streamwatch.web.access.limits import FailureLimiter
from streamwatch.web.access.origin import SAFE, is_foreign
from streamwatch.web.access.policy import AccessPolicy
from streamwatch.web.access.principals import Principal
from streamwatch.web.problems import Problem, problem_of

log = logging.getLogger(__name__)
COOKIE = "streamwatch_session"
LOCAL = Principal("local", Role.ADMIN)
NOBODY = "nobody"
FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip")
LOGIN = "/login"


class RecordAction(Protocol):
    """Writes down what somebody did."""

    def __call__(self, action: Action) -> None:
        """Raises StoreError where the database refuses."""
        ...


@dataclass(frozen=True)
class Claim:
    """Who somebody says to be: at most one of these.

    Attributes:
        address: from where.
        token, session: secrets.
        proxied: the user that a trusted proxy named.
        forwarded: some proxy handed it on.
    """

    address: str
    token: str | None = None
    session: str | None = None
    proxied: str | None = None
    forwarded: bool = False


class AccessGate:
    """An app to which each request comes with its principal.

    Args:
        record: writes down what changed something.
    """

    def __init__(
        self,
        app: ASGIApp,
        policy: AccessPolicy,
        access: AccessStore,
        limiter: FailureLimiter,
        *,
        clock: Clock,
        record: RecordAction,
    ) -> None:
        self._app, self._policy, self._access, self._limiter = app, policy, access, limiter
        self._clock, self._record = clock, record

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        claim = self._claim(scope, headers)
        try:
            self._refuse_foreign(scope["method"], headers, claim)
            principal = await run_in_threadpool(self._principal, claim)
        except Problem as problem:
            await problem.answer()(scope, receive, send)
            return
        except StoreError as error:
            await problem_of(error).answer()(scope, receive, send)
            return
        scope.setdefault("state", {}).update(principal=principal, address=claim.address, proxied=claim.proxied is not None)
        await self._answer(scope, receive, send, principal)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, principal: Principal | None) -> None:
        status = 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            who = scope["state"].get("acted_as") or principal  # a login is by whom it makes known
            if scope["method"] not in SAFE and (who or scope["path"] == LOGIN):  # anybody else could fill the log
                await run_in_threadpool(self._write_down, scope, who, status)

    def _claim(self, scope: Scope, headers: Mapping[str, str]) -> Claim:
        peer = (scope.get("client") or ("", 0))[0]
        proxy = self._policy.proxy
        if proxy and proxy.is_it(peer):
            last_hop = headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
            address, user = last_hop or peer, headers.get(proxy.header)
            if user:
                return Claim(address, proxied=user)
            peer = address
        kind, _, token = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and token:
            return Claim(peer, token=token.strip())
        forwarded = any(name in headers for name in FORWARDED)
        return Claim(peer, session=_session_in(headers.get("cookie", "")), forwarded=forwarded)

    def _refuse_foreign(self, method: str, headers: Mapping[str, str], claim: Claim) -> None:
        if claim.token is None and is_foreign(method, headers):
            raise Problem(403, "this was sent by a page elsewhere; what changes something is taken from our own pages alone")

    def _principal(self, claim: Claim) -> Principal | None:
        """Who it is; None for nobody. A wrong token is said to be wrong, so that its holder does not look elsewhere."""
        if claim.proxied and self._policy.proxy:
            return Principal(claim.proxied[:63], self._policy.proxy.role)
        if claim.token is not None:
            return self.principal_by_token(claim.token, claim.address)[0]
        if claim.session is not None:
            found = self._access.holder_of_session(claim.session, self._clock.wall_s())
            if found:
                return Principal(found.name, found.role)
        return LOCAL if self._policy.open and not (self._policy.local and claim.forwarded) else None

    def principal_by_token(self, text: str, address: str) -> tuple[Principal, Token]:
        """Whose token it is.

        Raises:
            Problem: 401 if it is nobody's, 429 if too many from there were.
        """
        wait_s = self._limiter.wait_s(address)
        if wait_s > 0:
            raise Problem(429, "too many wrong tokens came from there", headers={"Retry-After": str(math.ceil(wait_s))})
        found = self._access.holder_of(text.replace("\0", ""))
        if found is None:
            self._limiter.record(address)
            raise Problem(401, "this token is none, or was revoked", headers={"WWW-Authenticate": "Bearer"})
        self._access.note_use(found, self._clock.wall_s())
        return Principal(found.name, found.role), found

    async def log_in(self, text: str, address: str, lasts_s: float) -> tuple[Principal, str]:
        """A session for the holder of a token; raises as ``principal_by_token``, and StoreError."""

        def opened() -> tuple[Principal, str]:
            principal, token = self.principal_by_token(text, address)
            return principal, self._access.open_session(token, self._clock.wall_s(), lasts_s)

        return await run_in_threadpool(opened)

    def _write_down(self, scope: Scope, who: Principal | None, status: int) -> None:
        name, role = (who.name, who.role.value) if who else (NOBODY, "")
        address, action = scope["state"]["address"], f"{scope['method']} {scope['path']}".replace("\0", "")
        try:
            self._record(Action(self._clock.wall_s(), name, role, address, action, status))
        except StoreError as error:
            log.warning("the audit log misses %s by %s: %s", action, name, error)


def _session_in(cookies: str) -> str | None:
    return cookie_parser(cookies).get(COOKIE) or None  # others' cookies may hold anything
