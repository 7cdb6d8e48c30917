"""Deliveries."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field

from streamwatch.enums import MessageState
from streamwatch.web.api.documents.common import EVENT_ID, TIME, example

_DELIVERY = {
    "number": 41,
    "id": EVENT_ID,
    "endpoint": "ops",
    "subject": EVENT_ID,
    "type": "anomaly.started",
    "camera": "loading-dock",
    "state": "delivered",
    "attempts": 1,
    "created": TIME,
    "due": TIME,
    "settled": TIME,
    "last_error": None,
}


class DeliveryDocument(BaseModel):
    """A message to one endpoint."""

    model_config = example(**_DELIVERY)
    number: int
    id: str
    endpoint: str
    subject: str
    type: str
    camera: str
    state: MessageState
    attempts: int
    created: str
    due: str
    settled: str | None
    last_error: str | None


class AttemptDocument(BaseModel):
    """One attempt at a message."""

    model_config = example(at=TIME, status=204, latency_ms=31.0, error=None)
    at: str
    status: int | None
    latency_ms: float
    error: str | None


class DeliveryDetail(DeliveryDocument):
    """A message with what it says and every attempt at it."""

    model_config = example(
        **_DELIVERY,
        content={"id": EVENT_ID, "camera": "loading-dock"},
        tries=[{"at": TIME, "status": 204, "latency_ms": 31.0, "error": None}],
    )
    content: dict[str, Any]
    tries: list[AttemptDocument]


class EndpointDocument(BaseModel):
    """Where messages go."""

    model_config = example(
        name="ops", kind="cloudevents", url="https://example.org/***", pending=0, oldest=None, dead=0, switched_off=None
    )
    name: str
    kind: str
    url: str
    pending: int
    oldest: str | None
    dead: int
    switched_off: str | None


class ReplayRequest(BaseModel):
    """Which messages to send again: these, or all that were given up."""

    model_config = example(numbers=[41])
    numbers: Annotated[list[Annotated[int, Field(ge=1, lt=2**53)]], Field(max_length=1000)] = []
    dead: bool = False
    endpoint: str | None = Field(None, max_length=63, description="with dead: only this endpoint's")


class Tested(BaseModel):
    """What an endpoint answered."""

    model_config = example(status=204)
    status: int
