"""Sends one client its pictures at their own pace, with whatever is going wrong."""

from __future__ import annotations

import random
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import dropwhile

from streamwatch.clock import Clock
from streamwatch.simulator.faults import FaultSchedule
from streamwatch.simulator.media import AccessUnit, Track
from streamwatch.simulator.rtp import CLOCK_HZ, Packetiser

SendPacket = Callable[[bytes], None]
_PICTURE_FAULTS = ("freeze", "black", "covered", "resize")


@dataclass(frozen=True)
class Playlist:
    """What a camera can show: its recording, and one of the same length for each fault of the picture."""

    normal: Track
    faulty: Callable[[str], Track]


class Streamer(threading.Thread):
    """One playing session.

    Args:
        send: hands one RTP packet to the client; raises OSError when the client is gone.
        drop_connection: called with True for a reset, False for a clean close.
    """

    def __init__(
        self,
        playlist: Playlist,
        schedule: FaultSchedule,
        *,
        send: SendPacket,
        drop_connection: Callable[[bool], None],
        clock: Clock,
        seed: int,
    ) -> None:
        super().__init__(name="simulator-sender", daemon=True)
        self._playlist, self._schedule, self._clock = playlist, schedule, clock
        self._send, self._drop_connection = send, drop_connection
        self._random = random.Random(seed)
        self._stop_event = threading.Event()
        self._held: bytes | None = None
        self._jumped_s = 0.0
        wrap = schedule.any_of("wrap")
        offset = 2**32 - round(wrap.amount * CLOCK_HZ) if wrap else self._random.randrange(2**31)
        self.packetiser = Packetiser(
            playlist.normal.codec,
            ssrc=self._random.randrange(2**32),
            timestamp_offset=offset,
            sequence=self._random.randrange(2**15),
        )

    def stop(self) -> None:
        """End the session."""
        self._stop_event.set()

    def run(self) -> None:
        """Send until stopped, or the client is gone."""
        try:
            self._play()
        except OSError:
            self._stop_event.set()

    def _play(self) -> None:
        due_s = self._clock.monotonic_s()
        position_s = 0.0
        while not self._stop_event.is_set():
            kind = self._picture_fault()
            track = self._playlist.faulty(kind) if kind else self._playlist.normal
            for unit in from_key_frame(track, position_s):
                due_s += (unit.time_s - position_s) * self._slowness()
                position_s = unit.time_s
                if self._clock.wait(self._stop_event, due_s - self._clock.monotonic_s()):
                    return
                if self._picture_fault() != kind:
                    break
                self._deliver(unit)

    def _picture_fault(self) -> str | None:
        return next((kind for kind in _PICTURE_FAULTS if self._schedule.active(kind)), None)

    def _slowness(self) -> float:
        slow = self._schedule.active("slow")
        return slow.amount if slow else 1.0

    def _deliver(self, unit: AccessUnit) -> None:
        """Send one picture, unless a fault swallows it."""
        for kind, abruptly in (("reset", True), ("close", False)):
            if self._schedule.due(kind):
                self._drop_connection(abruptly)
                raise ConnectionResetError
        jump = self._schedule.due("jump")
        if jump:
            self._jumped_s += jump.amount
        packets = self.packetiser.packets(unit, unit.time_s + self._jumped_s)
        if not self._schedule.active("stall"):
            for packet in packets:
                self._deliver_packet(packet)

    def _deliver_packet(self, packet: bytes) -> None:
        loss, reorder = self._schedule.active("loss"), self._schedule.active("reorder")
        if loss and self._random.random() < loss.amount:
            return
        if self._held is not None:
            self._send(packet)
            packet, self._held = self._held, None
        elif reorder and self._random.random() < reorder.amount:
            self._held = packet
            return
        self._send(packet)


def from_key_frame(track: Track, position_s: float) -> Iterator[AccessUnit]:
    """A track's pictures from its first key frame at or after ``position_s`` on."""
    return dropwhile(lambda unit: not unit.key, track.looped(position_s))


def interleaved(connection: socket.socket, channel: int, lock: threading.Lock) -> SendPacket:
    """Sends packets within the RTSP connection (RFC 2326, section 10.12)."""

    def send(packet: bytes) -> None:
        with lock:
            connection.sendall(struct.pack("!cBH", b"$", channel, len(packet)) + packet)

    return send


def datagrams(udp: socket.socket, address: tuple[str, int]) -> SendPacket:
    """Sends packets as UDP datagrams."""

    def send(packet: bytes) -> None:
        udp.sendto(packet, address)

    return send
