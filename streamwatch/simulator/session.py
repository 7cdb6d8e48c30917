"""One client of a simulated camera: its requests (RFC 2326), and where its pictures are sent."""

from __future__ import annotations

import secrets
import socket
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from streamwatch.clock import Clock
from streamwatch.simulator.authentication import Authenticator
from streamwatch.simulator.faults import FaultSchedule
from streamwatch.simulator.media import Track
from streamwatch.simulator.sdp import describe
from streamwatch.simulator.streamer import Playlist, Streamer, datagrams, interleaved

_METHODS = "OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER, TEARDOWN"
_REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    454: "Session Not Found",
    461: "Unsupported Transport",
    501: "Not Implemented",
}
POLL_S = 0.1
_REQUEST_LIMIT_BYTES = 16_384


class Camera(Protocol):
    """What a client is served from; see ``server.SimulatedCamera``."""

    schedule: FaultSchedule
    authenticator: Authenticator

    @property
    def playlist(self) -> Playlist:
        """What it shows."""
        ...

    @property
    def track(self) -> Track:
        """Its recording."""
        ...

    @property
    def clock(self) -> Clock:
        """The clock that paces it."""
        ...

    def forget(self, session: RtspSession) -> None:
        """A client has gone."""
        ...


@dataclass(frozen=True)
class Request:
    """One RTSP request."""

    method: str
    url: str
    headers: dict[str, str]


def parse_request(text: str) -> Request | None:
    """Read a request's head; None if it is none."""
    first, *rest = text.split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("RTSP/"):
        return None
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in rest) if name}
    return Request(words[0], words[1], headers)


@dataclass
class _SetUp:
    """What a client has set up."""

    id: str = field(default_factory=lambda: secrets.token_hex(8))
    channel: int | None = None
    udp: tuple[socket.socket, tuple[str, int]] | None = None
    sender: Streamer | None = None


class RtspSession(threading.Thread):
    """One client's connection, and what it has set up."""

    def __init__(self, camera: Camera, client: socket.socket) -> None:
        super().__init__(name="simulator-client", daemon=True)
        self._camera, self._client = camera, client
        self._lock = threading.Lock()
        self._set_up = _SetUp()
        self._dropped = threading.Event()

    @property
    def playing(self) -> bool:
        """Whether pictures are being sent."""
        return self._set_up.sender is not None

    def drop(self, *, abruptly: bool) -> None:
        """Hang up: with a reset, or cleanly."""
        self._dropped.set()
        with suppress(OSError):
            if abruptly:
                self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            else:
                self._client.shutdown(socket.SHUT_RDWR)
        if abruptly:
            self._client.close()

    def run(self) -> None:
        """Answer until the client or the camera hangs up."""
        self._client.settimeout(POLL_S)
        with suppress(OSError):
            self._serve()
        if self._set_up.sender:
            self._set_up.sender.stop()
        if self._set_up.udp:
            self._set_up.udp[0].close()
        self._client.close()
        self._camera.forget(self)

    def _serve(self) -> None:
        buffer = b""
        while not self._dropped.is_set():
            try:
                data = self._client.recv(4096)
            except TimeoutError:
                continue
            if not data:
                return
            buffer = _without_interleaved(buffer + data)[-_REQUEST_LIMIT_BYTES:]
            while b"\r\n\r\n" in buffer:
                head, _, buffer = buffer.partition(b"\r\n\r\n")
                if self._camera.schedule.active("mute"):
                    continue
                if not self._answer(parse_request(head.decode("utf-8", "replace"))):
                    return

    def _answer(self, request: Request | None) -> bool:
        """Answer one request; whether the connection stays."""
        if request is None:
            self._reply(400, {})
            return False
        refused = self._camera.schedule.active("401") is not None
        if request.method != "OPTIONS" and (
            refused or not self._camera.authenticator.admits(request.method, request.headers.get("authorization"))
        ):
            self._reply(401, request.headers, {"WWW-Authenticate": self._camera.authenticator.challenge()})
            return True
        handler = getattr(self, f"_on_{request.method.lower()}", None)
        if handler is None:
            self._reply(501, request.headers)
            return True
        return bool(handler(request))

    def _on_options(self, request: Request) -> bool:
        self._reply(200, request.headers, {"Public": _METHODS})
        return True

    def _on_describe(self, request: Request) -> bool:
        body = describe(self._camera.track, self._client.getsockname()[0])
        self._reply(
            200, request.headers, {"Content-Type": "application/sdp", "Content-Base": request.url.rstrip("/") + "/"}, body
        )
        return True

    def _on_setup(self, request: Request) -> bool:
        transport = request.headers.get("transport", "")
        options = dict(part.partition("=")[::2] for part in transport.split(";"))
        if "RTP/AVP/TCP" in transport:
            self._set_up.channel = int(options.get("interleaved", "0-1").split("-")[0])
            answer = f"RTP/AVP/TCP;unicast;interleaved={self._set_up.channel}-{self._set_up.channel + 1}"
        elif "client_port" in options:
            answer = self._open_udp(int(options["client_port"].split("-")[0]))
        else:
            self._reply(461, request.headers)
            return True
        self._reply(200, request.headers, {"Transport": answer, "Session": f"{self._set_up.id};timeout=60"})
        return True

    def _open_udp(self, client_port: int) -> str:
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind((self._client.getsockname()[0], 0))
        self._set_up.udp = (udp, (self._client.getpeername()[0], client_port))
        port = udp.getsockname()[1]
        return f"RTP/AVP;unicast;client_port={client_port}-{client_port + 1};server_port={port}-{port + 1}"

    def _on_play(self, request: Request) -> bool:
        session, camera = self._set_up, self._camera
        if session.udp is None and session.channel is None:
            self._reply(454, request.headers)
            return True
        if session.udp is not None:
            udp, address = session.udp
            send = datagrams(udp, address)
        else:
            send = interleaved(self._client, session.channel or 0, self._lock)
        session.sender = Streamer(
            camera.playlist,
            camera.schedule,
            send=send,
            drop_connection=lambda abruptly: self.drop(abruptly=abruptly),
            clock=camera.clock,
            seed=secrets.randbits(32),
        )
        packetiser = session.sender.packetiser
        info = f"url={request.url.rstrip('/')}/trackID=0;seq={packetiser.next_sequence};rtptime={packetiser.timestamp(0)}"
        self._reply(200, request.headers, {"Session": session.id, "Range": "npt=0-", "RTP-Info": info})
        session.sender.start()
        return True

    def _on_get_parameter(self, request: Request) -> bool:
        self._reply(200, request.headers, {"Session": self._set_up.id})
        return True

    def _on_teardown(self, request: Request) -> bool:
        self._reply(200, request.headers, {"Session": self._set_up.id})
        return False

    def _reply(self, code: int, request: dict[str, str], headers: dict[str, str] | None = None, body: str = "") -> None:
        lines = [f"RTSP/1.0 {code} {_REASONS[code]}", f"CSeq: {request.get('cseq', '0')}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        if body:
            lines.append(f"Content-Length: {len(body.encode())}")
        with self._lock:
            self._client.sendall(("\r\n".join(lines) + "\r\n\r\n" + body).encode())


def _without_interleaved(data: bytes) -> bytes:
    """What is left of a client's bytes without its RTCP packets ($, channel, length, packet)."""
    while data[:1] == b"$" and len(data) >= 4:
        length = struct.unpack("!H", data[2:4])[0]
        if len(data) < 4 + length:
            break
        data = data[4 + length :]
    return data
