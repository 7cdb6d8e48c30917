"""What is never shown: secrets that are known, wherever they stand, and what looks like one, by pattern."""

from __future__ import annotations

import html
import json
import re
import threading
from collections.abc import Iterable
from urllib.parse import quote, unquote

SHOWN = "***"
MIN_LENGTH, _LONG = 4, 8
"""A shorter secret is part of too many words to be masked wherever it stands; in a URL it is. One that is not long is masked
where it is a word."""
_CREDENTIALS = re.compile(r"(?<=://)\S+@")  # to the last @: a password may hold one, and a slash, written by hand
_NAMED = re.compile(r"(?i)(?<=[/?&;])(user(?:name)?|login|pass(?:word|wd)?|pwd|token|key|secret|auth)=[^&;/\s]+")
_NAMED_TO_SLASH = re.compile(_NAMED.pattern.replace(r"/\s", "/"))
"""The same where a text is known to be a URL as a whole, whatever stands in it."""
_OPAQUE = re.compile(r"(?<=/)(?=[^/\s]*\d)(?=[^/\s]*[A-Za-z])[\w~.:%+=-]{16,}(?<!:)")
"""A long part of a path, of letters and digits: webhooks have their tokens there."""
_OPAQUE_VALUE = re.compile(r"(?=[^\s]*\d)(?=[^\s]*[A-Za-z])[\w~.:%+-]{16,}")
_QUERY = re.compile(r"(?<=\?)\S+?(?=[:,;)'\"]*(?:\s|$))")
_URL = re.compile(r"[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)
_CREDENTIALS_ALONE = re.compile(r"(?:[a-z][\w+.-]*:/{0,2})?[^/\s:@]+:(.+)@[^@\s]+", re.IGNORECASE | re.DOTALL)
"""``user:password@host/path``, its scheme forgotten or mistyped."""
_AS_A_PATH = re.compile(r"\b([a-z][a-z0-9+.-]+:/)(?!/)[^/\s:@]+:\S+@", re.IGNORECASE)
"""A URL that was taken for a file's name, in which two slashes are one."""
IN_USER_INFO = "!$&'()*+,;=~-._"
"""What may stand in a URL's user and password as it is (RFC 3986, section 3.2.1)."""
_WHOLE_URL = re.compile(r"\s*([a-z][a-z0-9+.-]*)://(.*)", re.IGNORECASE | re.DOTALL)


class _Known:
    """The secrets of this process, in every form that they are written in, the longest first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._secrets: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def add(self, secrets: Iterable[str]) -> None:
        forms = {form for secret in secrets if len(secret) >= MIN_LENGTH for form in _forms(secret)}
        with self._lock:
            if not forms <= self._secrets:
                self._secrets |= forms
                self._pattern = re.compile("|".join(map(_wherever, sorted(self._secrets, key=len, reverse=True))))

    def mask(self, text: str) -> str:
        pattern = self._pattern
        return text if pattern is None else pattern.sub(SHOWN, text)


_known = _Known()


def remember(secret: str) -> None:
    """Have a secret masked from now on, wherever it stands: of a URL, what is secret in it."""
    _known.add(secrets_in(secret))


def secrets_in(text: str) -> set[str]:
    """What must not be shown of a setting: of a URL its password, what is named as a secret, and tokens; else all of it."""
    whole = _WHOLE_URL.fullmatch(text)
    if whole is None:
        alone = _CREDENTIALS_ALONE.fullmatch(text)
        return {alone[1]} if alone else {text}
    user_info, rest = split_user_info(whole[2])
    password = user_info.partition(":")[2] if user_info else ""
    named = {found[0].partition("=")[2] for found in _NAMED.finditer(rest)}
    opaque = [value for value in re.split(r"[/?&=;]", rest) if _OPAQUE_VALUE.fullmatch(value)]
    secrets = {password, *named, *opaque}
    return {form for secret in secrets for form in (secret, unquote(secret)) if form}


def looks_like_credentials(text: str) -> bool:
    """Whether a text that is no URL was meant as one with a password."""
    return _CREDENTIALS_ALONE.fullmatch(text) is not None


def split_user_info(rest: str) -> tuple[str | None, str]:
    """What follows ``://`` as user information and the rest, also where a password was written as it is, with / # or ? in it.

    It ends at the last @ before the path (RFC 3986, section 3.2); without one there, at the last @ of all, if what is before
    the path is no host with a port.
    """
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    before, at, _ = authority.rpartition("@")
    if at:
        return before, rest[len(before) + 1 :]
    user, colon, port = authority.partition(":")
    if "@" in rest and colon and user and not port.isdigit():
        before, _, after = rest.rpartition("@")
        return before, after
    return None, rest


def mask_credentials(text: str) -> str:
    """``rtsp://user:secret@host/a?token=secret`` as ``rtsp://***@host/a?***``, wherever it occurs in ``text``.

    So are known secrets, ``/user=admin&password=secret`` in a path, and a part of a path that looks like a token.
    """
    shown = _AS_A_PATH.sub(rf"\1{SHOWN}@", _known.mask(text))
    return _URL.sub(lambda url: _masked(url[0]), shown)


def mask_url(url: str) -> str:
    """A text that is a URL as a whole, whatever its password holds: spaces, too."""
    whole = _WHOLE_URL.fullmatch(url)
    if whole is None:
        return mask_credentials(url)
    user_info, rest = split_user_info(whole[2])
    path, query, _ = rest.partition("?")
    path = _NAMED_TO_SLASH.sub(lambda found: f"{found[1]}={SHOWN}", path)
    shown = f"{whole[1]}://{f'{SHOWN}@' if user_info is not None else ''}{path}"
    return mask_credentials(shown) + (f"?{SHOWN}" if query else "")


def _masked(url: str) -> str:
    shown = _QUERY.sub(SHOWN, _CREDENTIALS.sub(f"{SHOWN}@", url))
    named = _NAMED.sub(lambda found: f"{found[1]}={SHOWN}", shown)
    return named if named.lower().startswith("file:") else _OPAQUE.sub(SHOWN, named)


def _wherever(form: str) -> str:
    escaped = re.escape(form)
    return escaped if len(form) >= _LONG else rf"(?<!\w){escaped}(?!\w)"


def _forms(secret: str) -> set[str]:
    return {
        secret,
        quote(secret),
        quote(secret, safe=""),
        quote(secret, safe=IN_USER_INFO),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        repr(secret)[1:-1],
        html.escape(secret),
        " ".join(secret.split()),
    } - {""}
