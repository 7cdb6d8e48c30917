"""Who may use the page and the API: tokens, and the sessions that people opened with them; of both only digests are stored.

A secret is 256 random bits, so that one round of SHA-256 is as good as any slow hash: there is nothing to guess from.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass

from sqlalchemy import Engine, RowMapping, delete, func, select, update

from streamwatch.enums import Role
from streamwatch.store.sessions import reading, writing
from streamwatch.store.tables import tokens, web_sessions

_PREFIX = "swt"
USED_TO_S = 600.0
"""How exactly it is known when a token was last used: not each request is worth a write."""


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of a token; its secret is not."""

    id: str
    name: str
    role: Role
    created_wall_s: float
    used_wall_s: float | None = None
    revoked_wall_s: float | None = None


class AccessStore:
    """The tokens and sessions of one database.

    Args:
        engine: open and migrated.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def create(self, name: str, role: Role, now_s: float) -> str:
        """A new token as its holder writes it; it cannot be shown again.

        Raises:
            StoreError: the database refused.
        """
        token_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        row = {"id": token_id, "name": name, "role": role.value, "secret_sha256": _digest(secret), "created_wall_s": now_s}
        with writing(self._engine, "the token could not be written") as connection:
            connection.execute(tokens.insert().values(row))
        return f"{_PREFIX}_{token_id}_{secret}"

    def list_tokens(self) -> list[Token]:
        """All that were made, the oldest first, revoked ones too."""
        with reading(self._engine, "tokens") as connection:
            return [_token(row) for row in connection.execute(select(tokens).order_by(tokens.c.created_wall_s)).mappings()]

    def any_in_force(self) -> bool:
        """Whether there is a token that was not revoked."""
        query = select(func.count()).select_from(tokens).where(tokens.c.revoked_wall_s.is_(None))
        with reading(self._engine, "tokens") as connection:
            return bool(connection.scalar(query))

    def revoke(self, token_id: str, now_s: float) -> bool:
        """From now on it, and sessions opened with it, hold no more; whether it was in force.

        Raises:
            StoreError: the database refused.
        """
        in_force = (tokens.c.id == token_id, tokens.c.revoked_wall_s.is_(None))
        with writing(self._engine, "the token could not be revoked") as connection:
            connection.execute(delete(web_sessions).where(web_sessions.c.token_id == token_id))
            return bool(connection.execute(update(tokens).where(*in_force).values(revoked_wall_s=now_s)).rowcount)

    def holder_of(self, text: str) -> Token | None:
        """The token that was written; None if it is none, or was revoked."""
        prefix, _, rest = text.partition("_")
        token_id, _, secret = rest.partition("_")
        query = select(tokens).where(tokens.c.id == token_id, tokens.c.revoked_wall_s.is_(None))
        with reading(self._engine, "tokens") as connection:
            row = connection.execute(query).mappings().first()
        digest = row["secret_sha256"] if row else ""
        same = hmac.compare_digest(digest, _digest(secret))  # also where there is none, so that time tells nothing
        return _token(row) if row and same and prefix == _PREFIX else None

    def note_use(self, token: Token, now_s: float) -> None:
        """Write down that it was used, if that was long ago.

        Raises:
            StoreError: the database refused.
        """
        if token.used_wall_s is None or now_s - token.used_wall_s > USED_TO_S:
            with writing(self._engine, "the token's use could not be noted") as connection:
                connection.execute(update(tokens).where(tokens.c.id == token.id).values(used_wall_s=now_s))

    def open_session(self, token: Token, now_s: float, lasts_s: float) -> str:
        """A session's secret, which its holder sends with each request; sessions that are over are forgotten.

        Raises:
            StoreError: the database refused.
        """
        secret = secrets.token_urlsafe(32)
        row = {"secret_sha256": _digest(secret), "token_id": token.id, "expires_wall_s": now_s + lasts_s}
        with writing(self._engine, "the session could not be opened") as connection:
            connection.execute(delete(web_sessions).where(web_sessions.c.expires_wall_s < now_s))
            connection.execute(web_sessions.insert().values(row))
        return secret

    def holder_of_session(self, secret: str, now_s: float) -> Token | None:
        """By which token a session was opened; None if it is none, is over, or the token was revoked."""
        joined = tokens.join(web_sessions, tokens.c.id == web_sessions.c.token_id)
        in_force = (web_sessions.c.expires_wall_s >= now_s, tokens.c.revoked_wall_s.is_(None))
        query = select(tokens).select_from(joined).where(web_sessions.c.secret_sha256 == _digest(secret), *in_force)
        with reading(self._engine, "sessions") as connection:
            row = connection.execute(query).mappings().first()
        return _token(row) if row else None

    def close_session(self, secret: str) -> None:
        """It holds no more.

        Raises:
            StoreError: the database refused.
        """
        with writing(self._engine, "the session could not be closed") as connection:
            connection.execute(delete(web_sessions).where(web_sessions.c.secret_sha256 == _digest(secret)))


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _token(row: RowMapping) -> Token:
    times = (row["created_wall_s"], row["used_wall_s"], row["revoked_wall_s"])
    return Token(row["id"], row["name"], Role(row["role"]), *times)
