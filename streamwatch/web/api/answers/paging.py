"""Pages of a list: a cursor names where the next one begins, in the ``Link`` header (RFC 8288)."""

from __future__ import annotations

import base64
import json
from typing import Any

from fastapi import Request, Response

from streamwatch.web.problems import Problem

MAX_PAGE = 500


def encode_cursor(at: Any) -> str:
    """A place in a list, JSON-ready, as text for a URL."""
    return base64.urlsafe_b64encode(json.dumps(at).encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> Any:
    """The place.

    Raises:
        Problem: it is none of ours.
    """
    try:
        return json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, RecursionError):
        raise _no_cursor() from None


def event_cursor(cursor: str) -> tuple[float, str]:
    """The start and the id of the last event of the page before; raises as ``decode_cursor``."""
    found = decode_cursor(cursor)
    if not (isinstance(found, list) and len(found) == 2 and isinstance(found[0], int | float) and isinstance(found[1], str)):
        raise _no_cursor()
    if isinstance(found[0], bool) or "\0" in found[1] or abs(found[0]) > 1e12:
        raise _no_cursor()
    return float(found[0]), found[1]


def number_cursor(cursor: str) -> int:
    """The number of the last one of the page before; raises as ``decode_cursor``."""
    found = decode_cursor(cursor)
    if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found < 2**53:
        raise _no_cursor()
    return found


def link_next(request: Request, response: Response, at: Any) -> None:
    """Say where the next page is."""
    url = request.url.include_query_params(cursor=encode_cursor(at))
    response.headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'


def without_nul(value: str) -> str:
    """A name as databases take it.

    Raises:
        ValueError: it holds a NUL, which PostgreSQL refuses.
    """
    if "\0" in value:
        raise ValueError("a name holds no NUL")
    return value


def _no_cursor() -> Problem:
    return Problem(422, "this cursor is none; take that of the `Link` header")
