"""Whether a picture of H.264 follows the one before it: a slower camera is no damage, and a picture that was lost is.

Every reference picture counts ``frame_num`` up by one (ITU-T H.264, section 7.4.3). FFmpeg sees a gap in it and conceals it
without a word at its usual log level; over TCP it does not look at RTP's own numbers either.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from av.video.stream import VideoStream

_SLICE, _IDR, _SPS = 1, 5, 7
_WITH_CHROMA = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
"""Profiles whose parameter set says its chroma format (section 7.3.2.1.1)."""
_HEAD_BYTES = 64
"""Of a slice: its number is in the first few."""


@dataclass(frozen=True, slots=True)
class _Parameters:
    """Of a sequence parameter set.

    Attributes:
        bits: how many ``frame_num`` has; 0 if there is none yet.
        gaps_allowed: numbers may be left out on purpose, as temporal layers are.
    """

    bits: int = 0
    separate_planes: bool = False
    gaps_allowed: bool = False


_UNKNOWN = _Parameters()


class FrameNumbers:
    """Follows the frame numbers of one stream.

    Args:
        extradata: the stream's description, as ``avcC`` (ISO/IEC 14496-15) or as NAL units after start codes; may be empty.
    """

    def __init__(self, extradata: bytes) -> None:
        self._length_bytes = 0
        self._set = _UNKNOWN
        self._reference: int | None = None
        if extradata[:1] == b"\x01" and len(extradata) > 6:
            self._length_bytes = (extradata[4] & 3) + 1
            size = int.from_bytes(extradata[6:8])
            self._learn(extradata[8 : 8 + size])
        else:
            self._learn_all(extradata)

    def follows(self, packet: bytes) -> bool | None:
        """Whether the picture of a packet follows the one of the packet before it; None if that cannot be told."""
        for unit in self._units(packet):
            kind = unit[0] & 0x1F if unit else 0
            if kind == _SPS:
                self._learn(unit)
            elif kind in (_SLICE, _IDR):
                return self._advance(unit, idr=kind == _IDR)
        return None

    def _advance(self, unit: bytes, *, idr: bool) -> bool | None:
        number = self._number_of(unit)
        before, is_reference = self._reference, bool(unit[0] & 0x60)
        if number is None:
            self._reference = None
            return None
        self._reference = number if is_reference or idr else before
        if idr:
            return True
        if before is None:
            return None
        return number in (before, (before + 1) % (1 << self._set.bits)) or (None if self._set.gaps_allowed else False)

    def _number_of(self, unit: bytes) -> int | None:
        if not self._set.bits:
            return None
        try:
            bits = _Bits(unit[1:_HEAD_BYTES])
            for _ in ("first_mb_in_slice", "slice_type", "pic_parameter_set_id"):
                bits.unsigned()
            bits.take(2 if self._set.separate_planes else 0)
            return bits.take(self._set.bits)
        except EOFError:
            return None

    def _learn_all(self, units: bytes) -> None:
        for unit in _after_start_codes(units):
            if unit and unit[0] & 0x1F == _SPS:
                self._learn(unit)

    def _learn(self, unit: bytes) -> None:
        try:
            self._set = _parameters_of(_Bits(unit[1:]))
        except EOFError:
            self._set = _UNKNOWN

    def _units(self, packet: bytes) -> Iterator[bytes]:
        if not self._length_bytes:
            yield from _after_start_codes(packet)
            return
        at = 0
        while at + self._length_bytes < len(packet):
            size = int.from_bytes(packet[at : at + self._length_bytes])
            at += self._length_bytes
            yield packet[at : at + size]
            at += size


class _Bits:
    """Reads bits of a NAL unit without its emulation prevention bytes (section 7.4.1.1)."""

    def __init__(self, unit: bytes) -> None:
        raw = unit.replace(b"\x00\x00\x03", b"\x00\x00")
        self._value, self._left = int.from_bytes(raw), 8 * len(raw)

    def take(self, count: int) -> int:
        """A number of ``count`` bits; EOFError at the end."""
        if count > self._left:
            raise EOFError
        self._left -= count
        return (self._value >> self._left) & ((1 << count) - 1)

    def unsigned(self) -> int:
        """ue(v), an Exp-Golomb code (section 9.1)."""
        zeros = 0
        while not self.take(1):
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)

    def signed(self) -> int:
        """se(v)."""
        code = self.unsigned()
        return (code + 1) // 2 if code % 2 else -(code // 2)


def _parameters_of(bits: _Bits) -> _Parameters:
    """What a sequence parameter set says (section 7.3.2.1.1)."""
    profile = bits.take(8)
    bits.take(16)
    bits.unsigned()
    separate = False
    if profile in _WITH_CHROMA:
        chroma = bits.unsigned()
        separate = chroma == 3 and bool(bits.take(1))
        bits.unsigned()
        bits.unsigned()
        bits.take(1)
        if bits.take(1):
            for index in range(12 if chroma == 3 else 8):
                _skip_scaling_list(bits, 16 if index < 6 else 64)
    number_bits = bits.unsigned() + 4
    _skip_order_count(bits)
    bits.unsigned()
    return _Parameters(number_bits, separate, bool(bits.take(1)))


def _skip_order_count(bits: _Bits) -> None:
    kind = bits.unsigned()
    if kind == 0:
        bits.unsigned()
    elif kind == 1:
        bits.take(1)
        bits.signed()
        bits.signed()
        for _ in range(min(bits.unsigned(), 255)):
            bits.signed()


def _skip_scaling_list(bits: _Bits, size: int) -> None:
    if not bits.take(1):
        return
    last, following = 8, 8
    for _ in range(size):
        if following:
            following = (last + bits.signed()) % 256
        last = following or last


def _after_start_codes(units: bytes) -> Iterator[bytes]:
    at = units.find(b"\x00\x00\x01")
    while at >= 0:
        until = units.find(b"\x00\x00\x01", at + 3)
        yield units[at + 3 : until if until >= 0 else len(units)]
        at = until


def numbers_of(stream: VideoStream) -> FrameNumbers | None:
    """What follows a stream's frame numbers; None of a codec that has none."""
    coded = stream.codec_context
    return FrameNumbers(bytes(coded.extradata or b"")) if coded.name == "h264" else None
