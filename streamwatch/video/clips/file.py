"""A clip as a fragmented MP4 file: playable up to its last second or so, whenever writing stops."""

from __future__ import annotations

from pathlib import Path

import av
from av.stream import Stream

from streamwatch.video.clips.ring import CodedPacket, StreamRun

FRAGMENT_US = 1_000_000
_OPTIONS = {"movflags": "empty_moov+default_base_moof", "frag_duration": str(FRAGMENT_US), "flush_packets": "1"}


class ClipFile:
    """Writes packets of one stream run, unchanged, to a file whose time line begins with the first of them.

    Raises:
        OSError, av.error.FFmpegError: it cannot be written.
    """

    def __init__(self, path: Path, run: StreamRun) -> None:
        self.path, self.run = path, run
        self.from_s: float | None = None
        self.to_s: float | None = None
        self._container = av.open(str(path), "w", format="mp4", options=_OPTIONS)
        self._stream: Stream = self._container.add_stream_from_template(run.template, opaque=True)
        self._first_dts: int | None = None
        self._last_dts = 0

    def write(self, packets: list[CodedPacket]) -> None:
        """Append packets in decode order; raises as the class."""
        for coded in packets:
            self._container.mux(self._packet_of(coded))
            at_s, ends_s = (self.run.time_s(ticks) for ticks in (coded.pts, coded.pts + coded.duration))
            self.from_s = at_s if self.from_s is None else self.from_s
            self.to_s = ends_s if self.to_s is None else max(self.to_s, ends_s)

    def close(self) -> None:
        """Finish the file; raises as the class."""
        self._container.close()

    def _packet_of(self, coded: CodedPacket) -> av.Packet[Stream]:
        if self._first_dts is None:
            self._first_dts = coded.dts
        packet = av.Packet(coded.data)
        packet.stream = self._stream
        packet.time_base = self.run.time_base
        packet.dts = max(coded.dts - self._first_dts, self._last_dts)
        packet.pts = max(coded.pts - self._first_dts, packet.dts)
        packet.duration, packet.is_keyframe = coded.duration, coded.key
        self._last_dts = packet.dts + 1
        return packet
