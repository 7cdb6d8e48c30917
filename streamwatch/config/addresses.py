"""Addresses as people write them: what any part parses later is parsed when the file is read."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from pydantic import SecretStr

from streamwatch.masking import split_user_info

_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_NETWORK_SOURCE = re.compile(r"(?:rtsps?|https?|rtmps?)://", re.IGNORECASE)
"""Of other schemes an empty host may be meant: ``udp://:5000`` listens."""
_TOPIC = re.compile(r"[^#+\s/\0]+(/[^#+\s/\0]+)*")


def require_url(url: SecretStr, schemes: tuple[str, ...]) -> SecretStr:
    """A URL of one of these schemes, with a host that can be one and a port that can be one.

    Raises:
        ValueError: it is none; the message does not hold it, because it may hold a secret.
    """
    expected = " or ".join(f"{scheme}://HOST" for scheme in schemes)
    try:
        parts = urlsplit(url.get_secret_value())
        host, _port = parts.hostname, parts.port  # a port above 65535 raises
        known = parts.scheme in schemes and host is not None and is_host(host)
    except ValueError as error:
        raise ValueError(f"must be {expected} ({error})" if "port" in str(error).lower() else f"must be {expected}") from None
    if not known:
        raise ValueError(f"must be {expected}")
    return url


def require_source_address(source: SecretStr) -> SecretStr:
    """A camera's source; of a network camera one with a host that can be one and a port that can be one.

    Raises:
        ValueError: it is none; the message does not hold it, because it may hold a secret.
    """
    text = source.get_secret_value()
    if not text.strip():
        raise ValueError("must name a file, a folder, a device or a URL")
    scheme = _NETWORK_SOURCE.match(text)
    if scheme is None:
        return source
    authority = re.split(r"[/?#]", split_user_info(text[scheme.end() :])[1], maxsplit=1)[0]
    try:
        parts = urlsplit(f"//{authority}")
        host, _port = parts.hostname, parts.port  # a port that is no number, or above 65535, raises
    except ValueError as error:
        raise ValueError(f"its address cannot be one ({_what_of_port(error)})") from None
    if host is None or not is_host(host):
        raise ValueError("its address has no host that can be one, as in rtsp://HOST:554/path")
    return source


def _what_of_port(error: ValueError) -> str:
    """What is wrong without the text itself: a password that was not told from an address may stand in it."""
    return "its port is beyond 65535" if "range" in str(error) else "its port or its brackets are none"


def is_host(host: str) -> bool:
    """Whether a text can be the name or address of a host (RFC 1123, section 2.1; internationalised names as IDNA has them)."""
    if ":" in host:  # an IPv6 address; urlsplit took its brackets
        return re.fullmatch(r"[0-9A-Fa-f:.]+(%[\w.-]+)?", host) is not None
    try:
        ascii_host = host.rstrip(".").encode("idna").decode("ascii")
    except UnicodeError:
        return False
    return 0 < len(ascii_host) <= 253 and all(_LABEL.fullmatch(label) for label in ascii_host.split("."))


def require_topic(value: str) -> str:
    """An MQTT topic that can be published to: levels parted by slashes, no wildcards (MQTT 5.0, section 4.7).

    Raises:
        ValueError: it is none.
    """
    if len(value.encode()) > 1000 or not _TOPIC.fullmatch(value):
        raise ValueError("must be a topic without + and #, like home/streamwatch")
    return value


def is_loopback(host: str) -> bool:
    """Whether a listener's address can be reached from its own machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def is_anywhere(host: str) -> bool:
    """Whether a listener's address is all of its machine's."""
    try:
        return not host or ipaddress.ip_address(host.strip("[]")).is_unspecified
    except ValueError:
        return False
