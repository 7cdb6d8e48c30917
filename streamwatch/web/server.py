"""An ASGI app on a thread of its own."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Collection

import uvicorn
from starlette.types import ASGIApp

from streamwatch.config.addresses import is_loopback
from streamwatch.config.schema import Tls
from streamwatch.errors import ConfigError, ListenError
from streamwatch.threads import ThreadGuard
from streamwatch.web.connections import BoundedProtocol
from streamwatch.web.hosts import HostCheck

_STOP_WITHIN_S = 2.0


class WebServer:
    """Serves ``app`` on ``address`` (HOST:PORT; port 0 takes a free one, see ``port``).

    Args:
        names: tells which it answers to beside addresses and ``localhost``, where it listens on this machine alone.
        tls: certificate and key for https; None is http.

    Raises:
        ListenError: the address is taken or not ours; ConfigError: certificate and key are none.
    """

    def __init__(
        self, app: ASGIApp, address: str, names: Callable[[], Collection[str]] = tuple, tls: Tls | None = None
    ) -> None:
        if tls:
            _require_certificate(tls)
        host, _, port = address.rpartition(":")
        served: ASGIApp = HostCheck(app, names) if is_loopback(host) else app
        self._socket = _bound_socket(host.strip("[]"), int(port), address)
        self._config = uvicorn.Config(
            served,
            http=BoundedProtocol,
            log_config=None,
            proxy_headers=False,  # who is before us, the gate knows
            server_header=False,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=1,
            ssl_certfile=tls.certificate if tls else None,
            ssl_keyfile=str(tls.key) if tls else None,
        )
        self._server = uvicorn.Server(self._config)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._socket.getsockname()[1])

    def start(self, guard: ThreadGuard) -> None:
        """Start serving; connections are accepted from now on."""
        self._thread = guard.start(f"web-{self.port}", self._serve, self._stop)

    def stop(self) -> None:
        """Stop serving and release the address."""
        self._stop.set()
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(_STOP_WITHIN_S)
        self._socket.close()

    def _serve(self) -> None:
        self._server = uvicorn.Server(self._config)  # one that failed does not serve again
        if not self._stop.is_set():
            self._server.run(sockets=[self._socket.dup()])  # which it closes


def _require_certificate(tls: Tls) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tls.certificate, tls.key, password=_no_passphrase)
    except (OSError, ValueError) as error:
        reason = error.strerror or "they do not belong together, or are no PEM" if isinstance(error, OSError) else str(error)
        hint = "give the PEM files of a certificate and of its key, without a passphrase"
        raise ConfigError(f"certificate and key cannot be used ({reason})", where="web.tls", hint=hint) from None


def _no_passphrase() -> str:
    raise ValueError("the key asks for a passphrase")


def _bound_socket(host: str, port: int, address: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise ListenError(
            f"cannot listen ({error.strerror})", where=address, hint="choose another port or stop its user"
        ) from None
    return listener
