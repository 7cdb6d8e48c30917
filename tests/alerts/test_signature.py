"""Signatures, checked by the specification's own library."""

from __future__ import annotations

import base64
import time

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from streamwatch.alerts.signature import signed_headers
from streamwatch.errors import ConfigError

OLD, NEW = (f"whsec_{base64.b64encode(bytes([byte]) * 32).decode()}" for byte in (1, 2))
BODY = b'{"type": "streamwatch.anomaly.started", "text": "\xc3\xa4"}'


def test_the_specifications_library_believes_it() -> None:
    Webhook(NEW).verify(BODY, signed_headers("msg_1", time.time(), BODY, [NEW]))


@pytest.mark.parametrize("known", [OLD, NEW])
def test_while_a_secret_is_changed_either_will_do(known: str) -> None:
    Webhook(known).verify(BODY, signed_headers("msg_1", time.time(), BODY, [NEW, OLD]))


@pytest.mark.parametrize("change", ["body", "id", "time", "secret"])
def test_what_was_altered_is_not_believed(change: str) -> None:
    headers = signed_headers("msg_1", time.time(), BODY, [OLD if change == "secret" else NEW])
    body = BODY + b" " if change == "body" else BODY
    headers |= {"webhook-id": "msg_2"} if change == "id" else {}
    headers |= {"webhook-timestamp": str(int(time.time()) + 1)} if change == "time" else {}
    with pytest.raises(WebhookVerificationError):
        Webhook(NEW).verify(body, headers)


def test_without_a_secret_nothing_is_signed() -> None:
    assert set(signed_headers("msg_1", 5.9, BODY, [])) == {"webhook-id", "webhook-timestamp"}


@pytest.mark.parametrize("secret", ["whsec_no base64!", "whsec_c2hvcnQ=", "short"])
def test_what_is_no_secret_is_refused_and_not_shown(secret: str) -> None:
    with pytest.raises(ConfigError) as refused:
        signed_headers("msg_1", 0, BODY, [secret])
    assert secret.removeprefix("whsec_") not in str(refused.value)
