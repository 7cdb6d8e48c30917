"""One attempt to post a message: never a redirect, never longer than the time-out, never a word of the URL's secrets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import httpx

from streamwatch.alerts.bodies.formats import Render
from streamwatch.alerts.deadline import Deadline
from streamwatch.alerts.retry_schedule import parse_retry_after_s
from streamwatch.alerts.signature import signed_headers
from streamwatch.clock import Clock
from streamwatch.errors import DeliveryError
from streamwatch.masking import mask_credentials
from streamwatch.store.outbox.messages import Message

GONE = 410
MAX_ANSWER_BYTES = 65_536
MAX_ERROR_LENGTH = 200


@dataclass(frozen=True, slots=True)
class DeliveryResult:
    """What an attempt came to.

    Attributes:
        delivered: the receiver has taken it.
        retry_after_s: what it asked for.
        permanent: it will never be taken as it is.
        gone: the receiver wants no more messages.
    """

    delivered: bool
    status: int | None = None
    error: str | None = None
    retry_after_s: float | None = None
    permanent: bool = False
    gone: bool = False


@dataclass(frozen=True)
class WebhookTransport:
    """Posts to one URL.

    Attributes:
        secrets: every one signs; the newest first.
        timeout_s: an attempt as a whole takes no longer; the client is under ``deadline``.
    """

    url: str
    secrets: Sequence[str]
    render: Render
    client: httpx.Client
    clock: Clock
    timeout_s: float
    deadline: Deadline

    def send(self, message: Message) -> DeliveryResult:
        """Post it once."""
        try:
            body = self.render(message)
        except DeliveryError as error:
            return DeliveryResult(False, error=str(error)[:MAX_ERROR_LENGTH], permanent=True)
        headers = signed_headers(message.id, self.clock.wall_s(), body.content, self.secrets)
        headers |= {"content-type": body.content_type, "user-agent": "streamwatch"}
        try:
            with (
                self.deadline.within(self.timeout_s),
                self.client.stream("POST", self.url, content=body.content, headers=headers) as answer,
            ):
                self._read(answer)
                return self._result(answer)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            said = mask_credentials(str(error).replace(self.url, "***"))
            return DeliveryResult(False, error=f"{error.__class__.__name__}: {said}"[:MAX_ERROR_LENGTH])

    def close(self) -> None:
        """Close its connections."""
        self.client.close()

    def announce(self, cameras: Sequence[str]) -> None:
        """A webhook is told of messages alone."""

    def _read(self, answer: httpx.Response) -> None:
        """The answer's body, for the connection to be used again; not a long one, nor one that trickles."""
        size = 0
        if not answer.is_success:
            return
        try:
            for part in answer.iter_raw():
                size += len(part)
                if size > MAX_ANSWER_BYTES:
                    return
        except httpx.HTTPError:
            return  # its status has said all

    def _result(self, answer: httpx.Response) -> DeliveryResult:
        status = answer.status_code
        if answer.is_success:
            return DeliveryResult(True, status)
        asked_s = parse_retry_after_s(answer.headers.get("retry-after"), self.clock.wall_s())
        error = "a redirect, which is not followed" if answer.is_redirect else f"HTTP {status}"
        return DeliveryResult(False, status, error, asked_s, gone=status == GONE)
