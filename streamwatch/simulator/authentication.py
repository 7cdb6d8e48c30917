"""Basic and digest authentication of RTSP requests (RFC 7617, RFC 2617)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from typing import Literal

_FIELD = re.compile(r'(\w+)="?([^",]*)"?')
REALM = "streamwatch simulator"


@dataclass(frozen=True)
class Credentials:
    """Who may look, and how they must say so."""

    user: str
    password: str = field(repr=False)
    scheme: Literal["basic", "digest"] = "digest"


class Authenticator:
    """Checks Authorization headers.

    Args:
        credentials: None lets everybody in.
    """

    def __init__(self, credentials: Credentials | None) -> None:
        self._credentials = credentials
        self._nonce = secrets.token_hex(16)

    def challenge(self) -> str:
        """The WWW-Authenticate header of a refusal."""
        if self._credentials is not None and self._credentials.scheme == "basic":
            return f'Basic realm="{REALM}"'
        return f'Digest realm="{REALM}", nonce="{self._nonce}"'

    def admits(self, method: str, header: str | None) -> bool:
        """Whether a request with this Authorization header may pass."""
        if self._credentials is None:
            return True
        if header is None:
            return False
        scheme, _, rest = header.partition(" ")
        if scheme.lower() != self._credentials.scheme:
            return False
        return self._basic(rest) if scheme.lower() == "basic" else self._digest(method, rest)

    def _basic(self, encoded: str) -> bool:
        given = self._credentials
        expected = base64.b64encode(f"{given.user}:{given.password}".encode()).decode() if given else ""
        return hmac.compare_digest(encoded.strip(), expected)

    def _digest(self, method: str, text: str) -> bool:
        """response = MD5(MD5(user:realm:password):nonce:MD5(method:uri)) (RFC 2617, section 3.2.2.1, no qop)."""
        fields, given = dict(_FIELD.findall(text)), self._credentials
        if given is None or fields.get("nonce") != self._nonce or fields.get("username") != given.user:
            return False
        secret = _md5(f"{given.user}:{REALM}:{given.password}")
        asked = _md5(f"{method}:{fields.get('uri', '')}")
        expected = _md5(f"{secret}:{self._nonce}:{asked}")
        return hmac.compare_digest(fields.get("response", ""), expected)


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
