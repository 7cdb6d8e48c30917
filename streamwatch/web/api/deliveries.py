"""Deliveries: where messages go, what became of them, and sending them again."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from streamwatch.alerts.endpoints import send_test, webhook_named
from streamwatch.alerts.router import MQTT
from streamwatch.enums import MessageState
from streamwatch.errors import UsageError
from streamwatch.masking import mask_url
from streamwatch.store.outbox.messages import Depth, Message
from streamwatch.web.access.principals import OPERATOR, VIEWER
from streamwatch.web.api.answers.paging import MAX_PAGE, link_next, number_cursor, without_nul
from streamwatch.web.api.answers.present import attempt_document, delivery_document, optional_time
from streamwatch.web.api.documents.common import Count
from streamwatch.web.api.documents.deliveries import (
    DeliveryDetail,
    DeliveryDocument,
    EndpointDocument,
    ReplayRequest,
    Tested,
)
from streamwatch.web.context import Site, SiteContext
from streamwatch.web.problems import Problem, not_found

router = APIRouter(tags=["deliveries"])
Number = Annotated[int, Path(ge=1, lt=2**53)]
Endpoint = Annotated[str, Path(max_length=63)]
MAX_REPLAYED = 1_000_000


@router.get("/endpoints", dependencies=[VIEWER])
def list_endpoints(site: Site) -> list[EndpointDocument]:
    """Where messages go, and what waits for each."""
    alerts = site.config().alerts
    named = [(webhook.name, str(webhook.format), webhook.url) for webhook in alerts.webhooks]
    named += [(MQTT, "mqtt", alerts.mqtt.url)] if alerts.mqtt else []
    depths, disabled = site.stores.outbox.depths(), site.stores.outbox.disabled()
    documents = []
    for name, kind, url in named:
        depth = depths.get(name, Depth(0, None, 0))
        document = EndpointDocument(
            name=name,
            kind=kind,
            url=mask_url(url.get_secret_value()),
            pending=depth.pending,
            oldest=optional_time(depth.oldest_wall_s),
            dead=depth.dead,
            switched_off=disabled.get(name),
        )
        documents.append(document)
    return documents


@router.post("/endpoints/{name}/test", dependencies=[OPERATOR])
def test_endpoint(name: Endpoint, site: Site) -> Tested:
    """Post a test message to it now, signed and in its format; nothing is stored. 502 if it does not arrive."""
    require_endpoint(site, name)
    return Tested(status=send_test(site.config().alerts, name, site.clock))


@router.post("/endpoints/{name}/enable", dependencies=[OPERATOR])
def enable_endpoint(name: Endpoint, site: Site) -> Count:
    """Let it have messages again, after it answered 410 Gone; 1 if it was switched off."""
    require_endpoint(site, name)
    return Count(count=int(site.stores.outbox.enable(name)))


class DeliveryFilter(BaseModel):
    """Which messages; what is not given is not asked."""

    model_config = ConfigDict(extra="forbid")
    state: MessageState | None = None
    endpoint: Annotated[str, AfterValidator(without_nul)] | None = Field(None, max_length=63)
    limit: int = Field(60, ge=1, le=MAX_PAGE)
    cursor: str | None = Field(None, max_length=200)


@router.get("/deliveries", dependencies=[VIEWER])
def list_deliveries(
    request: Request, response: Response, site: Site, asked: Annotated[DeliveryFilter, Query()]
) -> list[DeliveryDocument]:
    """Messages, the newest first; the `Link` header says where the next page is."""
    before = number_cursor(asked.cursor) if asked.cursor else None
    outbox = site.stores.outbox
    found = outbox.list_messages(state=asked.state, endpoint=asked.endpoint, limit=asked.limit, before=before)
    if len(found) == asked.limit:
        link_next(request, response, found[-1].number)
    return [delivery_document(message) for message in found]


@router.get("/deliveries/{number}", dependencies=[VIEWER])
def get_delivery(number: Number, site: Site) -> DeliveryDetail:
    """One message, what it says, and every attempt at it."""
    message = _message(site, number)
    tries = [attempt_document(attempt) for attempt in site.stores.outbox.attempts_of(number)]
    return DeliveryDetail(**delivery_document(message).model_dump(), content=message.content, tries=tries)


@router.post("/deliveries/replay", dependencies=[OPERATOR])
def replay(asked: ReplayRequest, site: Site) -> Count:
    """Send messages again, with the ids that they had, so that receivers know them."""
    if bool(asked.numbers) == asked.dead:
        raise Problem(422, "give either `numbers`, or `dead: true` for all that were given up")
    numbers = list(asked.numbers)
    if asked.dead:
        dead = site.stores.outbox.list_messages(state=MessageState.DEAD, endpoint=asked.endpoint, limit=MAX_REPLAYED)
        numbers = [message.number for message in dead]
    return Count(count=site.stores.outbox.replay(numbers, now_s=site.clock.wall_s()))


def require_endpoint(site: SiteContext, name: str) -> None:
    """There is a webhook of that name.

    Raises:
        Problem: 404, there is none; 409, it is the broker.
    """
    if name == MQTT:
        raise Problem(409, "the broker takes no test messages; it says `online` for as long as it is reached")
    try:
        webhook_named(site.config().alerts, name)
    except UsageError:
        raise not_found(f"endpoint {name!r}") from None


def _message(site: SiteContext, number: int) -> Message:
    try:
        return site.stores.outbox.find(number)
    except UsageError:
        raise not_found(f"message {number}") from None
