"""Whether a request that changes something comes from our own page, or from one elsewhere that uses its visitor's rights.

Every browser since 2023 says so itself (``Sec-Fetch-Site``); older ones name the page's origin with everything that is not GET.
Programs send neither. So no token has to stand in every form.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def is_foreign(method: str, headers: Mapping[str, str]) -> bool:
    """Whether a page elsewhere had it sent.

    Args:
        headers: by names in small letters.
    """
    if method in SAFE:
        return False
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in {"same-origin", "none"}
    origin = headers.get("origin")
    try:
        return origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower()
    except ValueError:
        return True
