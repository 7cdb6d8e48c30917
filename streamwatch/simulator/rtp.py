"""RTP packets of coded pictures: H.264 (RFC 6184) and H.265 (RFC 7798), single NAL units and fragments."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from streamwatch.simulator.media import AccessUnit, Codec

CLOCK_HZ = 90_000
PAYLOAD_TYPE = 96
MAX_PAYLOAD_BYTES = 1380
_FU_A, _FU_H265 = 28, 49


class Packetiser:
    """Numbers packets and stamps them.

    Args:
        timestamp_offset: RTP timestamp of time 0; near 2^32 it soon wraps.
    """

    def __init__(self, codec: Codec, *, ssrc: int, timestamp_offset: int, sequence: int) -> None:
        self._codec, self._ssrc, self._offset, self._sequence = codec, ssrc, timestamp_offset, sequence

    @property
    def next_sequence(self) -> int:
        """Sequence number of the next packet."""
        return self._sequence & 0xFFFF

    def timestamp(self, time_s: float) -> int:
        """RTP timestamp of a media time."""
        return (self._offset + round(time_s * CLOCK_HZ)) & 0xFFFFFFFF

    def packets(self, unit: AccessUnit, time_s: float) -> list[bytes]:
        """One picture's packets; the last one carries the marker."""
        payloads = [payload for nal in unit.nals for payload in self._payloads(nal)]
        stamp = self.timestamp(time_s)
        return [self._packet(payload, stamp, last=number == len(payloads) - 1) for number, payload in enumerate(payloads)]

    def _packet(self, payload: bytes, stamp: int, *, last: bool) -> bytes:
        header = struct.pack("!BBHII", 0x80, PAYLOAD_TYPE | (0x80 if last else 0), self.next_sequence, stamp, self._ssrc)
        self._sequence += 1
        return header + payload

    def _payloads(self, nal: bytes) -> Iterator[bytes]:
        if len(nal) <= MAX_PAYLOAD_BYTES:
            yield nal
            return
        header_bytes = 1 if self._codec == "H264" else 2
        body = nal[header_bytes:]
        starts = range(0, len(body), MAX_PAYLOAD_BYTES - 3)
        for start in starts:
            chunk = body[start : start + MAX_PAYLOAD_BYTES - 3]
            edge = (0x80 if start == 0 else 0) | (0x40 if start + len(chunk) == len(body) else 0)
            yield self._fragment_header(nal, edge) + chunk

    def _fragment_header(self, nal: bytes, edge: int) -> bytes:
        """FU indicator and header (RFC 6184 section 5.8, RFC 7798 section 4.4.3); ``edge`` has the start and end bits."""
        if self._codec == "H264":
            return bytes([nal[0] & 0xE0 | _FU_A, edge | nal[0] & 0x1F])
        return bytes([nal[0] & 0x81 | _FU_H265 << 1, nal[1], edge | nal[0] >> 1 & 0x3F])
