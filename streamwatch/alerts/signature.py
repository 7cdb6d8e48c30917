"""Signatures of the Standard Webhooks specification 1.0: what a receiver checks before it believes a message."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence

from streamwatch.errors import ConfigError

PREFIX = "whsec_"
SHORTEST_KEY_BYTES = 16


def key_of(secret: str, *, where: str | None = None) -> bytes:
    """The key that a secret stands for: base64 after ``whsec_``; any other text is its own UTF-8 bytes.

    Args:
        where: whose it is, for the error.

    Raises:
        ConfigError: it is not base64 after the prefix, or too short to be a secret; it does not say what the secret is.
    """
    if not secret.startswith(PREFIX):
        key = secret.encode()
    else:
        try:
            key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
        except binascii.Error:
            raise ConfigError(
                f"a webhook secret is not base64 after {PREFIX}", where=where, hint="`openssl rand -base64 32` makes one"
            ) from None
    if len(key) < SHORTEST_KEY_BYTES:
        hint = f"{SHORTEST_KEY_BYTES} are the least"
        raise ConfigError(f"a webhook secret has {len(key)} bytes", where=where, hint=hint)
    return key


def signed_headers(message_id: str, at_wall_s: float, body: bytes, secrets: Sequence[str]) -> dict[str, str]:
    """The three headers; with a signature by every secret, so that a receiver may still know only the old one.

    Raises:
        ConfigError: as ``key_of``.
    """
    timestamp = str(int(at_wall_s))
    content = b".".join((message_id.encode(), timestamp.encode(), body))
    signatures = [f"v1,{base64.b64encode(hmac.digest(key_of(s), content, hashlib.sha256)).decode()}" for s in secrets]
    headers = {"webhook-id": message_id, "webhook-timestamp": timestamp}
    return {**headers, "webhook-signature": " ".join(signatures)} if signatures else headers
