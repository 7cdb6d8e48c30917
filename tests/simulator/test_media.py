"""What the simulated camera sends: the file's own bits, packets that a depacketiser gives back, faults as written."""

from __future__ import annotations

import struct
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest

from streamwatch.errors import SourceError, SourceNotFound, UsageError
from streamwatch.simulator.authentication import Authenticator, Credentials
from streamwatch.simulator.faults import KINDS, Fault, FaultSchedule, parse_fault
from streamwatch.simulator.media import Codec, Track, encode_track, load_track, split_annex_b
from streamwatch.simulator.rtp import MAX_PAYLOAD_BYTES, Packetiser
from streamwatch.simulator.sdp import describe
from streamwatch.simulator.session import parse_request
from tests.conftest import encode, moving_square
from tests.test_retry import FakeClock


def encoded(path: Path, codec: str, **options: str) -> Path:
    """A file without reordered pictures."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10, options={"g": "10", "bf": "0", **options})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for picture in moving_square(30):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module", params=[("libx264", "H264"), ("libx265", "H265")], ids=lambda p: p[1])
def track(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Track:
    encoder, codec = request.param
    options = {"x265-params": "bframes=0:log-level=none"} if codec == "H265" else {}
    loaded = load_track(encoded(tmp_path_factory.mktemp("media") / "a.mp4", encoder, **options))
    assert loaded.codec == codec
    return loaded


def test_a_file_is_sent_as_it_is(track: Track) -> None:
    assert len(track.units) == 30
    assert track.size_px == (160, 120)
    assert track.duration_s == pytest.approx(3.0)
    assert [unit.key for unit in track.units] == [n % 10 == 0 for n in range(30)]
    assert len(track.parameter_sets) == (2 if track.codec == "H264" else 3)


def depacketised(packets: list[bytes], codec: Codec) -> list[bytes]:
    """NAL units from RTP packets (RFC 6184 section 5.8, RFC 7798 section 4.4.3), written apart from the packetiser."""
    nals: list[bytes] = []
    for packet in packets:
        payload = packet[12:]
        if codec == "H264" and payload[0] & 31 == 28:
            if payload[1] & 0x80:
                nals.append(bytes([payload[0] & 0xE0 | payload[1] & 31]))
            nals[-1] += payload[2:]
        elif codec == "H265" and payload[0] >> 1 & 63 == 49:
            if payload[2] & 0x80:
                nals.append(bytes([payload[0] & 0x81 | (payload[2] & 63) << 1, payload[1]]))
            nals[-1] += payload[3:]
        else:
            nals.append(payload)
    return nals


def test_packets_give_the_pictures_back(track: Track) -> None:
    packetiser = Packetiser(track.codec, ssrc=7, timestamp_offset=2**32 - 45_000, sequence=65_530)
    for number, unit in enumerate(track.units):
        packets = packetiser.packets(unit, unit.time_s)
        assert tuple(depacketised(packets, track.codec)) == unit.nals
        assert all(len(packet) <= MAX_PAYLOAD_BYTES + 12 for packet in packets)
        heads = [struct.unpack("!BBHII", packet[:12]) for packet in packets]
        assert [head[1] >> 7 for head in heads] == [0] * (len(packets) - 1) + [1], "the marker ends the picture"
        assert {head[3] for head in heads} == {(2**32 - 45_000 + round(unit.time_s * 90_000)) % 2**32}
        assert {head[4] for head in heads} == {7}
        if number == 0:
            assert heads[0][2] == 65_530
    assert packetiser.next_sequence < 65_530, "sequence numbers wrap"


def test_a_large_nal_is_cut_and_put_together(track: Track) -> None:
    big = bytes([0x65]) + bytes(range(256)) * 40 if track.codec == "H264" else bytes([0x26, 1]) + bytes(range(256)) * 40
    unit = track.units[0].__class__((big,), 0.0, True)
    packets = Packetiser(track.codec, ssrc=1, timestamp_offset=0, sequence=0).packets(unit, 0.0)
    assert len(packets) > 5
    assert depacketised(packets, track.codec) == [big]


def test_it_goes_round_with_continuous_times(track: Track) -> None:
    times_s = [unit.time_s for unit in islice(track.looped(), 95)]
    np.testing.assert_allclose(np.diff(times_s), 0.1, atol=1e-6)
    later = next(track.looped(7.05))
    assert later.time_s == pytest.approx(7.1)


def test_reordered_pictures_are_encoded_anew(tmp_path: Path) -> None:
    track = load_track(encode(tmp_path / "b.avi", moving_square(20)))
    assert [round(u.time_s, 3) for u in track.units] == [round(n / 10, 3) for n in range(20)]


def test_what_is_no_video_is_said(tmp_path: Path) -> None:
    (tmp_path / "x.mp4").write_text("no video")
    with pytest.raises(SourceError, match="not a readable video"):
        load_track(tmp_path / "x.mp4")
    with pytest.raises(SourceNotFound):
        load_track(tmp_path / "none.mp4")


def test_start_codes_of_both_lengths_part_nals() -> None:
    assert split_annex_b(b"\x00\x00\x00\x01\x67a\x00\x00\x01\x68b\x00\x00\x00\x01\x65c") == (b"\x67a", b"\x68b", b"\x65c")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("stall:30s@10s", Fault("stall", 10, 30)),
        ("stall", Fault("stall", 10, 10)),
        ("loss:2%", Fault("loss", 0, float("inf"), 0.02)),
        ("reset@1m", Fault("reset", 60)),
        ("jump:-5s@2s", Fault("jump", 2, amount=-5)),
        ("wrap:3s", Fault("wrap", 0, amount=3)),
        ("slow:1.5", Fault("slow", 0, float("inf"), 1.5)),
        ("401:5s@0s", Fault("401", 0, 5)),
    ],
)
def test_faults_are_read_as_written(text: str, fault: Fault) -> None:
    assert parse_fault(text) == fault


@pytest.mark.parametrize("text", ["explode", "stall:soon", "loss:2", "loss:200%", "slow:0.5", "", "stall@", "jump:5"])
def test_a_wrong_fault_is_said(text: str) -> None:
    with pytest.raises(UsageError):
        parse_fault(text)


def test_every_kind_has_a_default() -> None:
    assert {parse_fault(kind).kind for kind in KINDS} == set(KINDS)


def test_the_board_gives_lasting_faults_their_time_and_sudden_ones_once() -> None:
    clock = FakeClock()
    board = FaultSchedule((Fault("stall", 5, 10), Fault("reset", 3)), clock.monotonic_s)
    assert (board.active("stall"), board.due("reset")) == (None, None)
    clock.now_s = 6
    assert board.active("stall")
    assert board.due("reset")
    assert board.due("reset") is None
    clock.now_s = 16
    assert board.active("stall") is None
    board.add(Fault("stall", 0, 2))
    assert board.active("stall")
    clock.now_s = 19
    assert board.active("stall") is None


def test_the_gate_admits_by_basic_and_by_digest_and_nobody_else() -> None:
    assert Authenticator(None).admits("DESCRIBE", None)
    basic = Authenticator(Credentials("u", "p", "basic"))
    assert basic.admits("DESCRIBE", "Basic dTpw")
    assert not basic.admits("DESCRIBE", "Basic dTpx")
    assert not basic.admits("DESCRIBE", None)
    digest = Authenticator(Credentials("u", "p"))
    assert not digest.admits("DESCRIBE", 'Digest username="u", nonce="0", uri="/", response="0"')
    assert "secret-word" not in repr(Credentials("u", "secret-word"))


def test_a_request_is_read_and_nonsense_is_none() -> None:
    request = parse_request("DESCRIBE rtsp://h/a RTSP/1.0\r\nCSeq: 2\r\nAccept: application/sdp")
    assert request
    assert (request.method, request.headers["cseq"]) == ("DESCRIBE", "2")
    assert parse_request("GET / HTTP/1.1 x") is None


def test_the_session_description_names_codec_and_parameter_sets(track: Track) -> None:
    text = describe(track, "127.0.0.1")
    assert f"a=rtpmap:96 {track.codec}/90000" in text
    assert ("sprop-parameter-sets=" in text) == (track.codec == "H264")
    assert ("sprop-vps=" in text) == (track.codec == "H265")


def test_encoding_puts_headers_before_every_key_frame() -> None:
    track = encode_track(moving_square(25), 10)
    for unit in track.units:
        kinds = [nal[0] & 31 for nal in unit.nals]
        assert (7 in kinds and 8 in kinds) == unit.key
