"""Tokens and sessions: digests are stored, secrets never; the audit log and answers that are given once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, select

from streamwatch.enums import Role
from streamwatch.store import audit
from streamwatch.store.access import USED_TO_S, AccessStore
from streamwatch.store.audit import Action, list_actions, record_action
from streamwatch.store.replies import KEPT_S, WORKED_ON_S, Reply, claim, release, settle
from streamwatch.store.tables import tokens, web_sessions
from tests.databases import OpenDatabase


@pytest.fixture
def database(open_store_database: OpenDatabase) -> Iterator[Engine]:
    engine = open_store_database()
    yield engine
    engine.dispose()


@pytest.fixture
def access(database: Engine) -> AccessStore:
    return AccessStore(database)


def test_a_token_is_known_by_what_its_holder_writes_and_only_by_that(access: AccessStore) -> None:
    text = access.create("anna", Role.OPERATOR, 1.0)
    found = access.holder_of(text)
    assert found
    assert (found.name, found.role) == ("anna", Role.OPERATOR)
    for wrong in ("", "swt", "swt__", text[:-1], text + "x", text.replace("swt", "abc"), text.split("_")[1], "swt_" + "a" * 40):
        assert access.holder_of(wrong) is None, wrong
    assert access.any_in_force()
    assert access.revoke(found.id, 2.0)
    assert not access.revoke(found.id, 2.0)
    assert access.holder_of(text) is None
    assert not access.any_in_force()


def test_no_secret_is_stored(database: Engine, access: AccessStore) -> None:
    text = access.create("anna", Role.ADMIN, 1.0)
    token = access.holder_of(text)
    assert token
    session = access.open_session(token, 1.0, 60.0)
    with database.connect() as connection:
        rows = [row for table in (tokens, web_sessions) for row in connection.execute(select(table))]
    stored = repr(rows)
    assert text.split("_", 2)[2] not in stored
    assert session not in stored


def test_a_session_ends_by_time_by_hand_and_with_its_token(access: AccessStore) -> None:
    token = access.holder_of(access.create("anna", Role.VIEWER, 1.0))
    assert token
    session = access.open_session(token, 10.0, 60.0)
    assert access.holder_of_session(session, 70.0)
    assert access.holder_of_session(session, 70.1) is None
    other = access.open_session(token, 100.0, 60.0)
    access.close_session(other)
    assert access.holder_of_session(other, 101.0) is None
    third = access.open_session(token, 100.0, 60.0)
    access.revoke(token.id, 101.0)
    assert access.holder_of_session(third, 102.0) is None


def test_use_is_noted_now_and_then(access: AccessStore) -> None:
    text = access.create("anna", Role.VIEWER, 1.0)
    used: list[float | None] = []
    for now_s in (10.0, 20.0, 11.0 + USED_TO_S):
        token = access.holder_of(text)
        assert token
        access.note_use(token, now_s)
        used.append(access.list_tokens()[0].used_wall_s)
    assert used == [10.0, 10.0, 11.0 + USED_TO_S]


def test_the_audit_log_keeps_the_newest(database: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "KEPT", 5)
    monkeypatch.setattr(audit, "FORGET_EVERY", 10)
    for number in range(20):
        record_action(database, Action(float(number), "x" * 99, "admin", "::1", f"PUT /{number}", 200))
    found = list_actions(database, limit=100)
    assert [action.action for _, action in found] == [f"PUT /{number}" for number in range(19, 14, -1)]
    assert list_actions(database, limit=1, before=found[0][0])[0][1].action == "PUT /18"
    assert len(found[0][1].who) == 63


def test_a_key_is_one_requests_until_it_is_old(database: Engine) -> None:
    assert claim(database, "anna", "k", "digest", 1.0) is None
    assert claim(database, "anna", "k", "digest", 2.0) == Reply("digest")
    assert claim(database, "ben", "k", "digest", 2.0) is None, "keys are each one's own"
    settle(database, "anna", "k", Reply("", 200, {"a": "b"}, b"body"))
    assert claim(database, "anna", "k", "other", 3.0) == Reply("digest", 200, {"a": "b"}, b"body")
    release(database, "ben", "k")
    assert claim(database, "ben", "k", "digest", 3.0) is None
    assert claim(database, "anna", "k", "digest", 2.0 + KEPT_S) is None, "after a day it is forgotten"
    assert claim(database, "anna", "k", "digest", 1.0 + KEPT_S + WORKED_ON_S) == Reply("digest")
    assert claim(database, "anna", "k", "digest", 3.0 + KEPT_S + WORKED_ON_S) is None, "whoever worked on it has ended"
