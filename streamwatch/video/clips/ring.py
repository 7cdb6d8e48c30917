"""The last seconds of a camera's coded video, from which clips are cut at key frames.

Packets are kept as they came, grouped by key frame. A *stream run* is a part in which times advance: a reconnect, a
new file and a jump of the camera's clock begin another, and no clip crosses from one into the next. The ring holds so many
seconds, more while somebody reads a clip from it, and never more than so many bytes.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from fractions import Fraction

from av.video.stream import VideoStream

JUMP_S = 5.0
"""A step of the decode times that is larger, or backwards, begins a new run."""


@dataclass(frozen=True, slots=True)
class CodedPacket:
    """A packet of the stream.

    Attributes:
        number: counts up in a ring.
        pts, dts, duration: ticks of the run's time base.
    """

    number: int
    data: bytes
    pts: int
    dts: int
    duration: int
    key: bool


@dataclass
class StreamRun:
    """A part of the stream in which times advance.

    Attributes:
        template: a stream that says how the packets are coded; of a container of its own, so that it outlives the source's.
        copied: the packets are the source's; otherwise they were encoded here.
        offset_s: what to add to a packet's time to have the frames' time; None until a picture was decoded.
        ended: no more packets will come.
    """

    template: VideoStream
    time_base: Fraction
    copied: bool
    offset_s: float | None = None
    ended: bool = False

    def time_s(self, ticks: int) -> float:
        """The time of a packet on the frames' time line."""
        return float(ticks * self.time_base) + (self.offset_s or 0.0)


@dataclass
class _GroupOfPictures:
    """A key frame and what follows it up to the next."""

    run: StreamRun
    packets: list[CodedPacket] = field(default_factory=list)
    size: int = 0

    def add(self, packet: CodedPacket) -> None:
        self.packets.append(packet)
        self.size += len(packet.data)


@dataclass(eq=False)
class Cursor:
    """How far a clip has been read.

    Attributes:
        next: number of the next packet.
        gaps: how often packets had gone before they were read.
    """

    run: StreamRun
    next: int
    gaps: int = 0


class ClipRing:
    """A bounded ring of packets, written by the thread that reads the camera and read by another.

    Args:
        hold_s: seconds that are always there, unless they are more than ``max_bytes``.
    """

    def __init__(self, *, hold_s: float, max_bytes: int) -> None:
        self._hold_s, self._max_bytes = hold_s, max_bytes
        self._lock = threading.Lock()
        self._groups: deque[_GroupOfPictures] = deque()
        self._cursors: list[Cursor] = []
        self._run: StreamRun | None = None
        self._size = 0
        self._number = 0
        self._last_dts = 0
        self._waits_for_key = True
        self._retired = False

    @property
    def size_bytes(self) -> int:
        """Bytes that are held."""
        return self._size

    def begin(self, template: VideoStream, time_base: Fraction, *, copied: bool) -> None:
        """A stream begins: packets are coded as ``template`` says."""
        with self._lock:
            self._end_run()
            self._run = None if self._retired else StreamRun(template, time_base, copied)

    def end(self) -> None:
        """The stream has ended."""
        with self._lock:
            self._end_run()

    def retire(self) -> None:
        """The camera is read in another way from now on: what its reader still adds is not kept."""
        with self._lock:
            self._end_run()
            self._retired = True

    def add(self, data: bytes, *, pts: int | None, dts: int | None, duration: int, key: bool) -> None:
        """Add the stream's next packet in decode order; what comes before the first key frame is left out."""
        dts = pts if dts is None else dts
        if dts is None:
            return
        with self._lock:
            self._begin_anew_if_jumped(dts)
            if self._run is None or (self._waits_for_key and not key):
                return
            if key:
                self._groups.append(_GroupOfPictures(self._run))
                self._waits_for_key = False
            self._number += 1
            self._groups[-1].add(CodedPacket(self._number, data, dts if pts is None else pts, dts, duration, key))
            self._size += len(data)
            self._last_dts = dts
            self._make_room()

    def align(self, ticks: int, time_s: float) -> None:
        """The picture of the packet at ``ticks`` has ``time_s`` on the frames' time line."""
        with self._lock:
            if self._run is not None:
                self._run.offset_s = time_s - float(ticks * self._run.time_base)

    def open_at(self, time_s: float) -> Cursor | None:
        """Begin to read at the last key frame that is not after ``time_s``, or else at the first there is.

        What is read, and all after it, stays until ``close``. None if the present run holds nothing.
        """
        with self._lock:
            groups = [group for group in self._groups if group.run.offset_s is not None]
            if not groups:
                return None
            run = groups[-1].run
            starts = [group.packets[0] for group in groups if group.run is run]
            before = [packet for packet in starts if run.time_s(packet.pts) <= time_s]
            cursor = Cursor(run, (before[-1] if before else starts[0]).number)
            self._cursors.append(cursor)
            return cursor

    def read(self, cursor: Cursor, until_s: float) -> tuple[list[CodedPacket], bool]:
        """The next packets that are decoded by ``until_s``, and whether these were the last such ones."""
        with self._lock:
            groups = [group for group in self._groups if group.run is cursor.run]
            found = [packet for group in groups for packet in group.packets if packet.number >= cursor.next]
            wanted = [packet for packet in found if cursor.run.time_s(packet.dts) <= until_s]
            if wanted:
                cursor.gaps += wanted[0].number > cursor.next
                cursor.next = wanted[-1].number + 1
            return wanted, cursor.run.ended or len(wanted) < len(found)

    def close(self, cursor: Cursor) -> None:
        """Reading is over."""
        with self._lock:
            self._cursors.remove(cursor)
            self._make_room()

    def _begin_anew_if_jumped(self, dts: int) -> None:
        run = self._run
        if run is None or self._waits_for_key:
            return
        step_s = float((dts - self._last_dts) * run.time_base)
        if step_s < 0 or (step_s > JUMP_S and run.copied):  # pictures that are encoded here may rightly be far apart
            self._end_run()
            self._run = StreamRun(run.template, run.time_base, run.copied)

    def _end_run(self) -> None:
        if self._run is not None:
            self._run.ended = True
        self._run, self._waits_for_key = None, True

    def _make_room(self) -> None:
        """Forget whole groups, the oldest first: those that nobody needs, and any that are too much."""
        while len(self._groups) > 1 and (self._size > self._max_bytes or self._may_go(self._groups[0], self._groups[1])):
            self._size -= self._groups.popleft().size
        if self._size > self._max_bytes:  # one group alone: a stream without key frames
            self._groups.clear()
            self._size, self._waits_for_key = 0, True

    def _may_go(self, oldest: _GroupOfPictures, second: _GroupOfPictures) -> bool:
        newest = self._groups[-1]
        if oldest.run is newest.run:
            held_s = float((newest.packets[-1].dts - second.packets[0].dts) * newest.run.time_base)
            if held_s < self._hold_s:
                return False
        last = oldest.packets[-1].number
        return not any(cursor.run is oldest.run and cursor.next <= last for cursor in self._cursors)
