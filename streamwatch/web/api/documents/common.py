"""What all documents share."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from streamwatch.enums import Role

EVENT_ID = "0199a7c2-5b1e-7c3a-9f00-4f2d6e1b8a90"
TIME = "2026-03-01T02:14:09.120Z"


def example(**values: Any) -> ConfigDict:
    """What a document forbids, and the example of it."""
    return ConfigDict(extra="forbid", json_schema_extra={"examples": [values]})


class ProblemDocument(BaseModel):
    """Why a request was not done (RFC 9457)."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"type": "about:blank", "title": "Not Found", "status": 404, "detail": "there is no camera 'dock'"}]
        }
    )
    type: str
    title: str
    status: int
    detail: str


class Me(BaseModel):
    """Who asks."""

    model_config = example(name="anna's phone", role="operator")
    name: str
    role: Role


class Count(BaseModel):
    """How many there were."""

    model_config = example(count=1)
    count: int
