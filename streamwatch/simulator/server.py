"""The simulated camera: an RTSP server (RFC 2326) over TCP or UDP that shows a recording, with faults on command."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

import numpy as np

from streamwatch.clock import Clock, SystemClock
from streamwatch.errors import ListenError
from streamwatch.simulator.authentication import Authenticator, Credentials
from streamwatch.simulator.faults import Fault, FaultSchedule
from streamwatch.simulator.media import Track, decode_pictures, encode_track
from streamwatch.simulator.session import POLL_S, RtspSession
from streamwatch.simulator.streamer import Playlist


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
        self.schedule = FaultSchedule(faults, lambda: self._clock.monotonic_s() - began_s)
        self.authenticator = Authenticator(credentials)
        self._host = host
        self._variants: dict[str, Track] = {}
        self._variants_lock = threading.Lock()
        self._sessions: set[RtspSession] = set()
        self._stopping = threading.Event()
        self._listener: socket.socket | None = self._listen(port)
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._accept_forever, name=f"simulator-{self.port}", daemon=True)

    @property
    def url(self) -> str:
        """Where to watch it."""
        return f"rtsp://{self._host}:{self.port}/"

    @property
    def playlist(self) -> Playlist:
        """What it shows."""
        return Playlist(self._track, self._variant)

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
        self.schedule.add(fault)

    def forget(self, session: RtspSession) -> None:
        """A client has gone."""
        self._sessions.discard(session)

    def _listen(self, port: int) -> socket.socket:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self._host, port))
            listener.listen(32)
            listener.settimeout(POLL_S)
        except OSError as error:
            listener.close()
            raise ListenError(
                f"cannot listen ({error.strerror})", where=f"{self._host}:{port}", hint="choose another port"
            ) from None
        return listener

    def _accept_forever(self) -> None:
        while not self._stopping.is_set():
            if self._apply_connection_faults():
                self._stopping.wait(POLL_S)
                continue
            self._listener = self._listener or self._listen(self.port)
            with suppress(TimeoutError):
                client, _ = self._listener.accept()
                session = RtspSession(self, client)
                self._sessions.add(session)
                session.start()

    def _apply_connection_faults(self) -> bool:
        """Refuse, or throw out who may not stay; whether nobody is to be accepted now."""
        if self.schedule.active("refuse"):
            if self._listener:
                self._listener.close()
                self._listener = None
            self._hang_up(abruptly=True)
            return True
        if self.schedule.active("401"):
            for session in [s for s in self._sessions if s.playing]:
                session.drop(abruptly=False)
        return False

    def _hang_up(self, *, abruptly: bool) -> None:
        for session in list(self._sessions):
            session.drop(abruptly=abruptly)

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
