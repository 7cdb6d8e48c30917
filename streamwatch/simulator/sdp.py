"""The session description that a simulated camera answers DESCRIBE with (RFC 4566)."""

from __future__ import annotations

import base64

from streamwatch.simulator.media import Track
from streamwatch.simulator.rtp import PAYLOAD_TYPE


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
