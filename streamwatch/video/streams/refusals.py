"""Why a live source cannot be opened, in words that say what to do: each refusal of a camera is another thing to correct."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import av

from streamwatch.errors import SourceDisconnected
from streamwatch.masking import split_user_info
from streamwatch.video.sources import Segment
from streamwatch.video.streams.decoded import reason_of
from streamwatch.video.streams.live import disconnect_kind

_UNAUTHORIZED, _FORBIDDEN = 401, 403
_REFUSALS: dict[int, tuple[str, str]] = {
    400: ("the camera does not understand the request", "check port, path and protocol"),
    _FORBIDDEN: ("the camera forbids it to this user", "give the user the right to watch, or wait if it was locked out"),
    404: ("the camera has no such stream", "correct the path of `source`"),
    405: ("the camera takes no such request there", "correct the path of `source`: it is no stream's"),
    429: ("the camera is asked too often", "it is tried again; close other viewers"),
    453: ("the camera has not enough bandwidth for another viewer", "close another viewer, or use a smaller stream"),
    454: ("the camera does not know the session any more", "it is tried again"),
    461: ("the camera does not support this transport", "change `transport` between tcp and udp"),
    500: ("the camera has a fault", "restart it if that goes on"),
    502: ("what is before the camera does not reach it", "look at the proxy or recorder that `source` names"),
    503: ("the camera is too busy, or not ready yet", "it is tried again; it may have too many viewers"),
}
_STATUS = re.compile(r"(?:failed:|error|status|code)\D{0,10}([45]\d\d)\b", re.IGNORECASE)
_OF_ERROR: tuple[tuple[type[av.error.FFmpegError], int], ...] = (
    (av.error.HTTPBadRequestError, 400),
    (av.error.HTTPUnauthorizedError, _UNAUTHORIZED),
    (av.error.HTTPForbiddenError, _FORBIDDEN),
    (av.error.HTTPNotFoundError, 404),
)
_ASK_WITHIN_S = 3.0
_MAX_ANSWER_BYTES = 16_384
_RTSP_PORT = 554
_HTTP_PORT = 80
_MAX_USER_INFO = 128
"""FFmpeg 8.1 keeps user and password of an RTSP URL in a buffer of so many bytes (libavformat/rtsp.c)."""
_KNOWN = ("MD5", "MD5-SESS")
_ALGORITHM = re.compile(r'algorithm="?([\w-]+)', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Refusal:
    """What is wrong, and what to do about it."""

    what: str
    hint: str


_WITHOUT_STATUS: tuple[tuple[type[av.error.FFmpegError], _Refusal], ...] = (
    (
        av.error.HTTPServerError,
        _Refusal("the camera has a fault, or is too busy (5xx)", "it is tried again; restart it if that goes on"),
    ),
    (
        av.error.HTTPTooManyRequestsError,
        _Refusal("the camera is asked too often (429)", "it is tried again; close other viewers"),
    ),
    (
        av.error.HTTPOtherClientError,
        _Refusal("the camera refuses the request (4xx)", "correct the path of `source`: it may be no stream's"),
    ),
    (
        av.error.InvalidDataError,
        _Refusal(
            "something answers, and what it sends is no stream",
            "correct protocol, port and path of `source`: it may be a web page, or another service",
        ),
    ),
)
"""Errors of which FFmpeg does not say the status, or that have none."""


def refused(segment: Segment, error: av.error.FFmpegError, said: Sequence[str] = ()) -> SourceDisconnected:
    """FFmpeg's reason for not connecting to a live source, without credentials.

    Args:
        said: what it logged meanwhile.
    """
    status, kind = _status_of(error, said), disconnect_kind(error, opening=True)
    refusal = _refusal_of(status, segment, error)
    slowly = status in (_UNAUTHORIZED, _FORBIDDEN)
    return SourceDisconnected(
        refusal.what, where=segment.label, hint=refusal.hint, kind=kind, retry="slowly" if slowly else "backoff"
    )


def _status_of(error: av.error.FFmpegError, said: Sequence[str]) -> int | None:
    """The status that the camera answered last; FFmpeg's own errors tell a few of them apart, its log all."""
    for line in (str(error.log), *reversed(said)):  # (level, name, message), or None
        if found := _STATUS.search(line):
            return int(found[1])
    return next((status for kind, status in _OF_ERROR if isinstance(error, kind)), None)


def _refusal_of(status: int | None, segment: Segment, error: av.error.FFmpegError) -> _Refusal:
    if status == _UNAUTHORIZED:
        return _unauthorized(segment)
    if status in _REFUSALS:
        what, hint = _REFUSALS[status]
        return _Refusal(f"{what} ({status})", hint)
    if status is not None:
        return _Refusal(f"the camera refuses ({status})", "look it up in the camera's manual")
    if isinstance(error, av.error.ProtocolNotFoundError):
        protocol = segment.location.partition("://")[0]
        return _Refusal(f"the FFmpeg that is installed does not know the protocol {protocol}", "use rtsp:// or http://")
    unknown = _Refusal(f"cannot connect ({reason_of(error)})", "check address and power")
    return next((refusal for kind, refusal in _WITHOUT_STATUS if isinstance(error, kind)), unknown)


def _unauthorized(segment: Segment) -> _Refusal:
    asked_for = _digest_algorithms(segment.location)
    if asked_for and asked_for[-1] not in _KNOWN:  # FFmpeg takes the last that is offered
        asked = f"the camera asks for Digest authentication with {asked_for[-1]}, which FFmpeg does not know"
        return _Refusal(asked, "allow Digest with MD5 alone, or Basic, in the camera's settings")
    user_info = split_user_info(segment.location.partition("://")[2])[0] or ""
    if len(user_info) >= _MAX_USER_INFO:
        long = f"the camera refuses the user or password; with {len(user_info)} characters, percent-encoded, FFmpeg cuts them"
        return _Refusal(long, f"give the camera a password with which they come to fewer than {_MAX_USER_INFO}")
    return _Refusal("the camera refuses the user or password", "correct them")


def _digest_algorithms(location: str) -> list[str]:
    """What a camera challenges with, asked without credentials; empty where that cannot be learned."""
    parts = urlsplit(location)
    if parts.scheme not in ("rtsp", "http") or parts.hostname is None:
        return []
    port = parts.port or (_RTSP_PORT if parts.scheme == "rtsp" else _HTTP_PORT)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    request = (
        f"DESCRIBE rtsp://{host}:{port}{parts.path} RTSP/1.0\r\nCSeq: 1\r\n\r\n"
        if parts.scheme == "rtsp"
        else f"GET {parts.path or '/'} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n"
    )
    try:
        with socket.create_connection((parts.hostname, port), _ASK_WITHIN_S) as connection:
            connection.sendall(request.encode())
            answer = _head_of(connection)
    except (OSError, UnicodeError):
        return []
    digests = [line for line in answer.splitlines() if re.match(r"www-authenticate:\s*digest", line, re.IGNORECASE)]
    return [found[1].upper() if (found := _ALGORITHM.search(line)) else "MD5" for line in digests]


def _head_of(connection: socket.socket) -> str:
    received, until_s = b"", time.monotonic() + _ASK_WITHIN_S
    while b"\r\n\r\n" not in received and len(received) < _MAX_ANSWER_BYTES and time.monotonic() < until_s:
        part = connection.recv(4096)
        if not part:
            break
        received += part
    return received.decode("latin-1")
