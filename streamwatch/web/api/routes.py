"""All routes of the API."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from streamwatch.web.api import cameras, configuration, deliveries, events, models, setup, stream, system
from streamwatch.web.api.documents.common import ProblemDocument
from streamwatch.web.problems import PROBLEM_TYPE

VERSION = "1.0"
DESCRIPTION = """What the pages of this site do, for programs.

**Who you are**: `Authorization: Bearer TOKEN`; `streamwatch token create` makes one. A role may do what those before it may:
viewer, operator, admin; each route says which it needs (`x-role`).
**Lists** come in pages: the `Link` header says where the next one is.
**What changes something** may carry an `Idempotency-Key`: sent again with the same key within a day, it is not done again, and
answered as before.
**Faults** are `application/problem+json` (RFC 9457).
**Pictures and files** have an ETag: `If-None-Match` saves sending them again.
**Versions**: within `/api/v1` fields and routes are added and never taken away; read what you know and leave the rest.
"""
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": ProblemDocument, "description": text, "content": {PROBLEM_TYPE: {}}}
    for status, text in (
        (400, "the body cannot be read"),
        (401, "nobody is known to ask"),
        (403, "who asks may not"),
        (404, "there is no such thing"),
        (409, "it cannot be done as things are"),
        (412, "it was changed meanwhile"),
        (413, "the body is too large"),
        (422, "the request is not what it should be"),
        (429, "too many wrong tokens"),
        (502, "a camera or a receiver does not answer as it should"),
        (503, "not just now"),
    )
}


def api_router() -> APIRouter:
    """Below /api/v1."""
    router = APIRouter(prefix="/api/v1", responses=_PROBLEMS)
    for part in (cameras, setup, events, deliveries, models, configuration, system, stream):
        router.include_router(part.router)
    return router
