"""Which names a listener on this machine answers to.

A page anywhere can have its own name resolve to 127.0.0.1 and read what a listener there says in its visitor's browser (DNS
rebinding). The browser still sends the page's name as the Host. An address is no name: it cannot be made to lead elsewhere.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Collection
from urllib.parse import urlsplit

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

MISDIRECTED = 421


def own_names(public_url: Callable[[], str | None]) -> frozenset[str]:
    """This machine's name, and that in the URL by which people find it now, if there is one."""
    url = public_url()
    host = urlsplit(url).hostname if url else None
    return frozenset({socket.gethostname().lower(), *([host] if host else [])})


def answers_to(host_header: str, names: Collection[str]) -> bool:
    """Whether a request's Host is an address, ``localhost``, or one of ``names``."""
    try:
        host = urlsplit(f"//{host_header}").hostname or ""
    except ValueError:
        return False
    if host in names or host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class HostCheck:
    """An app that answers to no other name; 421 for what was led here by one.

    Args:
        changes_only: only what changes something is asked for its name: where others reach a listener it has more names than
            we know.
    """

    def __init__(self, app: ASGIApp, names: Callable[[], Collection[str]], *, changes_only: bool = False) -> None:
        self._app, self._names, self._changes_only = app, names, changes_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        given = [value.decode("latin-1") for name, value in scope.get("headers", []) if name == b"host"]
        asked = scope["type"] == "http" and not (self._changes_only and scope["method"] in ("GET", "HEAD", "OPTIONS"))
        if asked and not all(answers_to(host, self._names()) for host in given):
            answer = PlainTextResponse("this is not the host that was asked for; `web.public_url` names another\n", MISDIRECTED)
            await answer(scope, receive, send)
            return
        await self._app(scope, receive, send)
