"""A network camera's address is looked at when the file is read, and never shown."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from streamwatch.config.addresses import require_source_address

SECRET = "s3cr#t/?@x"


@pytest.mark.parametrize(
    "source",
    [
        "rtsp://10.0.0.5/stream2",
        "RTSP://camera.example:8554/a?b=c",
        "rtsp://viewer:pa%2Fss@[fe80::1]:554/s",
        f"rtsp://viewer:{SECRET}@10.0.0.5:554/s",
        "http://camera.example/video.mjpg",
        "udp://:5000",
        "srt://:9000?mode=listener",
        "footage/dock:99999.mp4",
        "/dev/video0",
        "http:foo.mp4",
    ],
)
def test_what_can_be_an_address_or_is_none_at_all_passes(source: str) -> None:
    assert require_source_address(SecretStr(source)).get_secret_value() == source


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (f"rtsp://viewer:{SECRET}@127.0.0.1:99999/s", "beyond 65535"),
        (f"rtsp://viewer:{SECRET}@127.0.0.1:bad/", "its port"),
        (f"rtsp://viewer:{SECRET}@/s", "no host"),
        ("rtsp:///s", "no host"),
        (f"https://viewer:{SECRET}@[::1/s", "brackets"),
        (f"http://viewer:{SECRET}@-camera-/s", "no host"),
    ],
)
def test_what_can_be_none_is_refused_without_being_shown(source: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as refusal:
        require_source_address(SecretStr(source))
    assert SECRET not in str(refusal.value)
    assert "viewer" not in str(refusal.value)
