"""Which pictures of a live stream may be scored: none between damage and the next key frame.

A lost packet leaves a smear that FFmpeg conceals and flags nowhere (3 lost packets, 38 of 197 pictures wrong, none flagged:
docs/decisions/0012-live-streams.md), so damage is read from what can be seen: a gap in the timestamps, a decoder's error or
complaint, a corrupt flag, a clock that jumps. From there on every picture may be wrong until one is coded by itself.
"""

from __future__ import annotations

from collections import deque

import av
from av.video.stream import VideoStream

from streamwatch.enums import DropReason

AWAIT_AT_MOST_S = 20.0
"""Cameras exist that send a key frame every few minutes: after this long, pictures are taken as they are."""
JUMP_S = 10.0
SET_BACK_S = 1.0
"""A damaged packet's time may be a little before the last one's; a clock that was set back by more begins another recording."""
LEAST_STEP_S = 1e-6
"""Less than a tick of any clock of video (90 kHz): what is left of a repeated time after it was shifted."""
ALONE = frozenset({"mjpeg"})
"""Codecs of which a lost picture harms no other."""
_ALIKE = 2
"""So many intervals after a gap that are as long as it: the camera is slower now."""
_REMEMBERED = 64
_GAP_FACTOR = 1.6
_TYPICAL_QUANTILE = 0.9


class GapDetector:
    """Tells a gap from a camera's ordinary rhythm: an interval 1.6 times the 90 % quantile of the last 64.

    The quantile and not the mean, because cameras with variable rates have no single interval; every interval is
    remembered, so that a camera that slows down for good is soon normal again.
    """

    def __init__(self) -> None:
        self._intervals_s: deque[float] = deque(maxlen=_REMEMBERED)

    def is_gap(self, interval_s: float) -> bool:
        """Whether this interval, the newest, is a gap."""
        known = sorted(self._intervals_s)
        self._intervals_s.append(interval_s)
        if len(known) < 4:
            return False
        return interval_s > _GAP_FACTOR * known[int(_TYPICAL_QUANTILE * (len(known) - 1))]


class Timeline:
    """A stream's presentation times as seconds that only ever advance.

    A time that is missing, repeats, runs backwards or leaps by more than 10 s is replaced by the last one plus the
    last step, and the clock's offset is taken over from there.
    """

    def __init__(self, frame_s: float) -> None:
        self._step_s = frame_s
        self._offset_s: float | None = None
        self._last_s = 0.0

    def advance(self, raw_s: float | None) -> tuple[float, bool]:
        """The picture's time since the first one, and whether the camera's clock jumped there."""
        if self._offset_s is None:
            self._offset_s = 0.0 if raw_s is None else -raw_s
            return 0.0, False
        time_s = None if raw_s is None else raw_s + self._offset_s
        step_s = -1.0 if time_s is None else time_s - self._last_s
        jumped = raw_s is not None and not LEAST_STEP_S <= step_s <= JUMP_S
        if time_s is None or jumped:
            time_s = self._last_s + self._step_s
            self._offset_s = self._offset_s if raw_s is None else time_s - raw_s
        else:
            self._step_s = step_s
        self._last_s = time_s
        return time_s, jumped


class Harm:
    """Where in a stream damage is: a key frame may come out after later packets went in, and does not end their damage."""

    def __init__(self) -> None:
        self._read: int | None = None
        self._at: int | None = None
        self._dts: int | None = None

    def read(self, packet: av.Packet[VideoStream]) -> None:
        """A packet is decoded next; where the clock was set back, as where recordings were joined, what was harmed is over."""
        if packet.dts is not None and packet.time_base is not None:
            back_s = 0.0 if self._dts is None else float((self._dts - packet.dts) * packet.time_base)
            self._at = None if back_s > SET_BACK_S else self._at
            self._dts = packet.dts
        self._read = packet.pts if packet.pts is not None else self._read

    def note(self) -> None:
        """The packet that was read last is damaged, or something before it is missing."""
        self._at = self._read

    def restarts(self, frame: av.VideoFrame) -> bool:
        """Whether a picture is coded by itself, and not before what is damaged; a clock that was set back is no before."""
        if not frame.key_frame or self._at is None or frame.pts is None or frame.time_base is None:
            return bool(frame.key_frame)
        return not 0 < (self._at - frame.pts) * frame.time_base <= JUMP_S


class BeforeKey:
    """Counts what a recording that begins in mid-group has before its first key frame, of which nothing can be decoded."""

    def __init__(self) -> None:
        self._packets: int | None = 0

    def lost(self, packet: av.Packet[VideoStream]) -> int:
        """A packet is read: how many before it were lost, once that is known."""
        if self._packets is None or not packet.size:
            return 0
        if packet.is_keyframe:
            lost, self._packets = self._packets, None
            return lost
        self._packets += 1
        return 0

    def shown(self) -> None:
        """A picture came out: what can be decoded without a key frame is counted as pictures."""
        self._packets = None


class IntegrityGuard:
    """Decides picture by picture; see the module's text.

    Args:
        gaps_tell: whether a gap in the times means that something was lost: not where the decoder or the transport says so.
    """

    def __init__(self, *, gaps_tell: bool = True) -> None:
        self._gaps = GapDetector() if gaps_tell else None
        self._awaiting_since_s: float | None = 0.0
        self._last_s: float | None = None
        self._harmed = True
        self._gap_s: float | None = None
        self._alike = 0

    def judge(self, time_s: float, *, key: bool, corrupt: bool, damaged: bool, unbroken: bool = False) -> DropReason | None:
        """Why the picture may not be scored; None if it may.

        Args:
            key: it is coded by itself.
            corrupt: the decoder flags this very picture.
            damaged: something was lost or could not be decoded since the picture before it.
            unbroken: the stream's own numbers say that nothing is missing before it: a gap is a slower rate.
        """
        gap = self._follow_gaps(time_s) and not unbroken
        self._last_s = time_s
        if damaged or corrupt or gap:
            self._awaiting_since_s = time_s
        self._harmed |= damaged or corrupt
        if corrupt:
            return DropReason.CORRUPT
        if key or (self._awaiting_since_s is not None and time_s - self._awaiting_since_s >= AWAIT_AT_MOST_S):
            self._awaiting_since_s, self._harmed = None, False
        return None if self._awaiting_since_s is None else DropReason.AWAIT_KEYFRAME

    def _follow_gaps(self, time_s: float) -> bool:
        """Whether something may be missing before this picture; what was taken for a gap and goes on is a slower rate."""
        if self._gaps is None or self._last_s is None:
            return False
        interval_s = time_s - self._last_s
        gap = self._gaps.is_gap(interval_s)
        if self._gap_s is not None and 1 / _GAP_FACTOR <= interval_s / self._gap_s <= _GAP_FACTOR:
            self._alike += 1
            if self._alike >= _ALIKE and not self._harmed:
                self._awaiting_since_s = None
            return False
        self._gap_s, self._alike = (interval_s if gap else None), 0
        return gap
