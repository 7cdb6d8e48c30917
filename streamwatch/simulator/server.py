"""The simulated camera's RTSP server (RFC 2326): OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER, TEARDOWN over TCP or UDP."""

from __future__ import annotations

import base64
import secrets
import socket
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from streamwatch.clock import Clock, SystemClock
from streamwatch.errors import ListenError
from streamwatch.simulator.authentication import Credentials, Gate
from streamwatch.simulator.faults import Fault, FaultBoard
from streamwatch.simulator.media import Track, decode_pictures, encode_track
from streamwatch.simulator.rtp import PAYLOAD_TYPE
from streamwatch.simulator.sender import Programme, Sender, datagrams, interleaved

_METHODS = "OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER, TEARDOWN"
_REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    454: "Session Not Found",
    461: "Unsupported Transport",
    501: "Not Implemented",
}
_POLL_S = 0.1
_REQUEST_LIMIT_BYTES = 16_384


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


def describe(track: Track, host: str) -> str:
    """The session description (RFC 4566; H.264 after RFC 6184 section 8.2.1, H.265 after RFC 7798 section 7.2.1)."""
    encoded = [base64.b64encode(nal).decode() for nal in track.parameter_sets]
    if track.codec == "H264":
        profile = track.parameter_sets[0][1:4].hex().upper() if track.parameter_sets else "42E01F"
        format_parameters = f"packetization-mode=1;profile-level-id={profile};sprop-parameter-sets={','.join(encoded)}"
    else:
        names = ("sprop-vps", "sprop-sps", "sprop-pps")
        format_parameters = ";".join(f"{name}={value}" for name, value in zip(names, encoded, strict=False))
    lines = (
        "v=0",
        f"o=- 1 1 IN IP4 {host}",
        "s=streamwatch simulator",
        "c=IN IP4 0.0.0.0",
        "t=0 0",
        "a=control:*",
        f"m=video 0 RTP/AVP {PAYLOAD_TYPE}",
        f"a=rtpmap:{PAYLOAD_TYPE} {track.codec}/90000",
        f"a=fmtp:{PAYLOAD_TYPE} {format_parameters}",
        "a=control:trackID=0",
    )
    return "\r\n".join(lines) + "\r\n"


class SimulatedCamera:
    """An RTSP camera on the loopback interface (or another address), any path.

    Args:
        port: 0 takes a free one; see ``port``.
        faults: what goes wrong, and when; ``inject`` adds to it.

    Raises:
        ListenError: the address is taken.
    """

    def __init__(
        self,
        track: Track,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        faults: tuple[Fault, ...] = (),
        credentials: Credentials | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._track, self._clock = track, clock or SystemClock()
        began_s = self._clock.monotonic_s()
        self.board = FaultBoard(faults, lambda: self._clock.monotonic_s() - began_s)
        self.gate = Gate(credentials)
        self._host = host
        self._variants: dict[str, Track] = {}
        self._variants_lock = threading.Lock()
        self._connections: set[_Connection] = set()
        self._stopping = threading.Event()
        self._listener: socket.socket | None = self._listen(port)
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._accept_forever, name=f"simulator-{self.port}", daemon=True)

    @property
    def url(self) -> str:
        """Where to watch it."""
        return f"rtsp://{self._host}:{self.port}/"

    @property
    def programme(self) -> Programme:
        """What it shows."""
        return Programme(self._track, self._variant)

    @property
    def track(self) -> Track:
        """Its recording."""
        return self._track

    @property
    def clock(self) -> Clock:
        """The clock that paces it."""
        return self._clock

    def start(self) -> None:
        """Begin to accept clients."""
        self._thread.start()

    def stop(self) -> None:
        """Hang up on everybody and stop listening."""
        self._stopping.set()
        self._thread.join(2.0)
        self._hang_up(abruptly=False)
        if self._listener:
            self._listener.close()

    def inject(self, fault: Fault) -> None:
        """Make something go wrong from now on."""
        if fault.kind in ("freeze", "black", "covered", "resize"):
            self._variant(fault.kind)  # encoded beforehand, so that it begins at once
        self.board.add(fault)

    def forget(self, connection: _Connection) -> None:
        """A connection ended."""
        self._connections.discard(connection)

    def _listen(self, port: int) -> socket.socket:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self._host, port))
            listener.listen(32)
            listener.settimeout(_POLL_S)
        except OSError as error:
            listener.close()
            raise ListenError(
                f"cannot listen ({error.strerror})", where=f"{self._host}:{port}", hint="choose another port"
            ) from None
        return listener

    def _accept_forever(self) -> None:
        while not self._stopping.is_set():
            if self._apply_connection_faults():
                self._stopping.wait(_POLL_S)
                continue
            self._listener = self._listener or self._listen(self.port)
            with suppress(TimeoutError):
                client, _ = self._listener.accept()
                connection = _Connection(self, client)
                self._connections.add(connection)
                connection.start()

    def _apply_connection_faults(self) -> bool:
        """Refuse, or throw out who may not stay; whether nobody is to be accepted now."""
        if self.board.active("refuse"):
            if self._listener:
                self._listener.close()
                self._listener = None
            self._hang_up(abruptly=True)
            return True
        if self.board.active("401"):
            for connection in [c for c in self._connections if c.playing]:
                connection.drop(abruptly=False)
        return False

    def _hang_up(self, *, abruptly: bool) -> None:
        for connection in list(self._connections):
            connection.drop(abruptly=abruptly)

    def _variant(self, kind: str) -> Track:
        """The recording as a fault of the picture shows it."""
        with self._variants_lock:
            if kind not in self._variants:
                self._variants[kind] = _faulty_track(self._track, kind)
            return self._variants[kind]


def _faulty_track(track: Track, kind: str) -> Track:
    count = max(2, len(track.units))
    rate = count / track.duration_s
    if kind == "resize":
        return encode_track(map(_halved, decode_pictures(track)), rate)
    first = next(decode_pictures(track))
    level = {"black": 16, "covered": 70}.get(kind)
    shown = first if level is None else np.full_like(first, level)
    return encode_track((shown for _ in range(count)), rate, lossless=True)


def _halved(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape[0] // 4 * 4, picture.shape[1] // 4 * 4
    return picture[:height:2, :width:2]


@dataclass
class _Session:
    """What a client has set up."""

    id: str = field(default_factory=lambda: secrets.token_hex(8))
    channel: int | None = None
    udp: tuple[socket.socket, tuple[str, int]] | None = None
    sender: Sender | None = None


class _Connection(threading.Thread):
    """One client's RTSP connection."""

    def __init__(self, camera: SimulatedCamera, client: socket.socket) -> None:
        super().__init__(name="simulator-client", daemon=True)
        self._camera, self._client = camera, client
        self._lock = threading.Lock()
        self._session = _Session()
        self._dropped = threading.Event()

    @property
    def playing(self) -> bool:
        """Whether pictures are being sent."""
        return self._session.sender is not None

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
        self._client.settimeout(_POLL_S)
        with suppress(OSError):
            self._serve()
        if self._session.sender:
            self._session.sender.stop()
        if self._session.udp:
            self._session.udp[0].close()
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
                if self._camera.board.active("mute"):
                    continue
                if not self._answer(parse_request(head.decode("utf-8", "replace"))):
                    return

    def _answer(self, request: Request | None) -> bool:
        """Answer one request; whether the connection stays."""
        if request is None:
            self._reply(400, {})
            return False
        refused = self._camera.board.active("401") is not None
        if request.method != "OPTIONS" and (
            refused or not self._camera.gate.admits(request.method, request.headers.get("authorization"))
        ):
            self._reply(401, request.headers, {"WWW-Authenticate": self._camera.gate.challenge()})
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
            self._session.channel = int(options.get("interleaved", "0-1").split("-")[0])
            answer = f"RTP/AVP/TCP;unicast;interleaved={self._session.channel}-{self._session.channel + 1}"
        elif "client_port" in options:
            answer = self._open_udp(int(options["client_port"].split("-")[0]))
        else:
            self._reply(461, request.headers)
            return True
        self._reply(200, request.headers, {"Transport": answer, "Session": f"{self._session.id};timeout=60"})
        return True

    def _open_udp(self, client_port: int) -> str:
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind((self._client.getsockname()[0], 0))
        self._session.udp = (udp, (self._client.getpeername()[0], client_port))
        port = udp.getsockname()[1]
        return f"RTP/AVP;unicast;client_port={client_port}-{client_port + 1};server_port={port}-{port + 1}"

    def _on_play(self, request: Request) -> bool:
        session, camera = self._session, self._camera
        if session.udp is None and session.channel is None:
            self._reply(454, request.headers)
            return True
        if session.udp is not None:
            udp, address = session.udp
            send = datagrams(udp, address)
        else:
            send = interleaved(self._client, session.channel or 0, self._lock)
        session.sender = Sender(
            camera.programme,
            camera.board,
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
        self._reply(200, request.headers, {"Session": self._session.id})
        return True

    def _on_teardown(self, request: Request) -> bool:
        self._reply(200, request.headers, {"Session": self._session.id})
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
