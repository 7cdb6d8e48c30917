"""Who may do what: every route times every role, and what every request and answer has to hold."""

from __future__ import annotations

import json
import socket
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi import FastAPI

from streamwatch.clock import SystemClock
from streamwatch.config.schema import Proxy, Tls, WebConfig
from streamwatch.enums import EventType, Role
from streamwatch.errors import ConfigError
from streamwatch.records import Notice
from streamwatch.store.audit import list_actions
from streamwatch.threads import ThreadGuard
from streamwatch.web import connections
from streamwatch.web.access import limits
from streamwatch.web.access.gate import COOKIE
from streamwatch.web.access.limits import MAX_BODY_BYTES, MAX_FAILURES, WITHIN_S, FailureLimiter
from streamwatch.web.access.login import _safe
from streamwatch.web.access.origin import is_foreign
from streamwatch.web.access.policy import access_policy, require_somebody
from streamwatch.web.access.principals import require_declared, routes_of
from streamwatch.web.api import cameras
from streamwatch.web.hosts import HostCheck
from streamwatch.web.server import WebServer
from streamwatch.web.site import build_site, site_app
from tests.test_retry import FakeClock
from tests.web.sites import TestSite, running, site_in
from tests.web.test_jobs import until

HOLDERS: tuple[Role | None, ...] = (None, *Role)
VALUES = {"camera": "gate", "event_id": "0199a7c2-5b1e-7c3a-9f00-4f2d6e1b8a90", "kind": "clips", "name": "ops", "number": "1"}


def paths(folder: Path) -> list[tuple[str, str, Role | None]]:
    site = site_in(folder)
    app = site_app(site.context, access_policy(WebConfig()))
    routes = list(routes_of(app))
    found = [(method, route.path, route.role) for route in routes for method in sorted(route.methods - {"HEAD"})]
    site.context.stores.events.close()
    return found


def test_every_route_with_every_role(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Generated from the routes: who may not is refused before anything else is looked at, who may is never."""
    monkeypatch.setattr(cameras, "FIRST_PICTURE_WITHIN_S", 0.1)
    (tmp_path / "routes").mkdir()
    known = paths(tmp_path / "routes")
    assert len(known) > 45
    with running(site_in(tmp_path), WebConfig(login="required")) as site:
        tokens = {role: site.token(role) for role in Role}
        for holder in HOLDERS:
            with site.http(tokens[holder] if holder else None) as http:
                for method, path, needed in known:
                    address = path.format_map(Named())
                    answer = http.request(method, address + ("?once=true" if path.endswith("/stream") else ""))
                    if needed is None:
                        assert "www-authenticate" not in answer.headers, (path, holder)
                    elif holder is None:
                        assert answer.status_code == 401, (method, path)
                        assert answer.headers["www-authenticate"] == "Bearer"
                    else:
                        assert (answer.status_code == 403) == (not holder.covers(needed)), (method, path, holder, answer.text)
                        assert answer.status_code not in {401, 500}, (method, path, holder, answer.text)


class Named(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return VALUES.get(key, "x")


def test_a_route_of_which_nobody_said_who_may_use_it_is_a_defect() -> None:
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.get("/forgotten")(lambda: "here")
    with pytest.raises(AssertionError, match="/forgotten"):
        require_declared(app)


def test_browsers_are_led_to_the_login_and_back(locked: TestSite) -> None:
    with locked.http() as http:
        html = {"accept": "text/html"}
        led = http.get("/events?camera=gate", headers=html)
        assert (led.status_code, led.headers["location"]) == (303, "/login?next=%2Fevents%3Fcamera%3Dgate")
        form = http.get(led.headers["location"], headers=html)
        assert 'value="/events?camera=gate"' in form.text
        wrong = http.post("/login", data={"token": "swt_no_such", "next": "/events"})
        assert wrong.status_code == 401
        assert "this token is none" in wrong.text
        token = locked.token(Role.VIEWER)
        right = http.post("/login", data={"token": token, "next": "/events?camera=gate"})
        assert (right.status_code, right.headers["location"]) == (303, "/events?camera=gate")
        cookie = right.headers["set-cookie"].lower()
        assert all(word in cookie for word in ("httponly", "samesite=strict", "path=/"))
        assert http.get("/api/v1/me").json() == {"name": "a viewer", "role": "viewer"}
        assert http.get("/setup", headers=html).status_code == 403
        assert http.post("/logout").status_code == 303
        assert http.get("/api/v1/me").status_code == 401


def test_a_revoked_token_ends_its_sessions(locked: TestSite) -> None:
    token, access = locked.token(Role.ADMIN), locked.context.stores.access
    with locked.http() as http:
        http.post("/login", data={"token": token})
        assert http.get("/api/v1/me").status_code == 200
        access.revoke(token.split("_")[1], 1.0)
        assert http.get("/api/v1/me").status_code == 401
    with locked.http(token) as http:
        assert http.get("/api/v1/me").status_code == 401


@pytest.mark.parametrize(
    ("target", "goes_to"),
    [("/events", "/events"), ("//evil.example", "/"), ("https://evil.example", "/"), ("/\\evil.example", "/"), ("", "/"),
     ("/a\nb", "/"), (None, "/")],
)  # fmt: skip
def test_a_login_leads_nowhere_else(target: str | None, goes_to: str) -> None:
    assert _safe(target) == goes_to


@pytest.mark.parametrize(
    ("method", "headers", "foreign"),
    [
        ("POST", {"sec-fetch-site": "cross-site"}, True), ("POST", {"sec-fetch-site": "same-site"}, True),
        ("POST", {"sec-fetch-site": "same-origin"}, False), ("POST", {"sec-fetch-site": "none"}, False),
        ("POST", {"origin": "http://evil.example", "host": "127.0.0.1:1"}, True),
        ("PUT", {"origin": "http://127.0.0.1:1", "host": "127.0.0.1:1"}, False),
        ("DELETE", {"origin": "null", "host": "127.0.0.1:1"}, True), ("POST", {}, False),
        ("GET", {"sec-fetch-site": "cross-site"}, False),
    ],
)  # fmt: skip
def test_pages_elsewhere_change_nothing(method: str, headers: dict[str, str], foreign: bool) -> None:
    assert is_foreign(method, headers) == foreign


def test_a_page_elsewhere_is_refused_where_nobody_logs_in(site: TestSite) -> None:
    with site.http() as http:
        foreign = {"sec-fetch-site": "cross-site"}
        assert http.put("/api/v1/cameras/gate/snooze", json={"duration": "1h"}, headers=foreign).status_code == 403
        assert http.put("/api/v1/cameras/gate/snooze", json={"duration": "1h"}).status_code == 200


def test_wrong_tokens_are_listened_to_for_a_while_only(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(site_in(tmp_path, clock), WebConfig(login="required")) as site:
        right = site.token(Role.VIEWER)
        with site.http() as http:
            for _ in range(MAX_FAILURES):
                assert http.get("/api/v1/me", headers={"authorization": "Bearer swt_a_b"}).status_code == 401
            refused = http.get("/api/v1/me", headers={"authorization": f"Bearer {right}"})
            assert refused.status_code == 429
            assert 0 < int(refused.headers["retry-after"]) <= WITHIN_S
            clock.now_s += WITHIN_S + 1
            assert http.get("/api/v1/me", headers={"authorization": f"Bearer {right}"}).status_code == 200


def test_each_address_has_failures_of_its_own() -> None:
    limiter = FailureLimiter(FakeClock())
    for _ in range(MAX_FAILURES):
        limiter.record("10.0.0.1")
    assert limiter.wait_s("10.0.0.1") > 0
    assert limiter.wait_s("10.0.0.2") == 0


def test_a_body_that_is_too_large_is_not_read(site: TestSite) -> None:
    with site.http() as http:
        told = http.put("/api/v1/config", content=b"x" * (MAX_BODY_BYTES + 1))
        assert (told.status_code, told.headers["content-type"]) == (413, "application/problem+json")
        chunks = (b"x" * 100_000 for _ in range(MAX_BODY_BYTES // 100_000 + 2))
        assert http.put("/api/v1/config", content=chunks).status_code == 413


@pytest.mark.parametrize("path", ["/api/v1/config", "/nothing"])
def test_who_still_sends_a_body_that_nobody_reads_is_told_why(locked: TestSite, path: str) -> None:
    """Closed at once, a connection is reset for what comes after, and the answer is lost, once in some hundred times."""
    host, _, port = locked.base_url.removeprefix("http://").rpartition(":")
    head = f"PUT {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {MAX_BODY_BYTES + 2}\r\n\r\n"
    for _ in range(20):
        with socket.create_connection((host, int(port)), timeout=20) as sender:
            sender.sendall(head.encode())
            for _ in range(20):
                sender.sendall(b"x" * (MAX_BODY_BYTES // 20))
            sender.sendall(b"xx")
            answer = b"".join(iter(lambda: sender.recv(65536), b""))
        assert answer.startswith((b"HTTP/1.1 413", b"HTTP/1.1 401"))
        assert answer.endswith(b"}")


@pytest.mark.parametrize("path", ["/", "/events", "/login", "/static/site.css", "/api/v1/me", "/nothing"])
def test_every_answer_says_what_browsers_must_not_do(site: TestSite, path: str) -> None:
    with site.http() as http:
        headers = http.get(path).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"


def test_a_proxy_says_who_asks_and_nobody_else_can(tmp_path: Path) -> None:
    web = WebConfig(proxy=Proxy(header="X-User", networks=(IPv4Network("127.0.0.1/32"),), role=Role.VIEWER))
    with running(site_in(tmp_path), web) as site, site.http() as http:
        assert http.get("/api/v1/me", headers={"x-user": "anna"}).json() == {"name": "anna", "role": "viewer"}
        assert http.get("/api/v1/me").status_code == 401
        site.context.stores.access.create("b", Role.ADMIN, 1.0)
    (tmp_path / "other").mkdir()
    elsewhere = WebConfig(proxy=Proxy(header="X-User", networks=(IPv4Network("10.0.0.0/8"),)))
    with running(site_in(tmp_path / "other"), elsewhere) as site, site.http() as http:
        assert http.get("/api/v1/me", headers={"x-user": "anna"}).status_code == 401


def test_what_was_changed_is_written_down_and_by_whom(locked: TestSite) -> None:
    with locked.http(locked.token(Role.OPERATOR)) as http:
        http.put("/api/v1/cameras/gate/snooze", json={"duration": "1h"})
        http.delete("/api/v1/cameras/gate")
        http.get("/api/v1/cameras")
    with locked.http() as http:
        http.post("/login", data={"token": locked.token(Role.ADMIN)})
        entries = http.get("/api/v1/audit").json()
    told = [(entry["who"], entry["action"], entry["status"]) for entry in entries]
    assert told == [
        ("a admin", "POST /login", 303),
        ("a operator", "DELETE /api/v1/cameras/gate", 403),
        ("a operator", "PUT /api/v1/cameras/gate/snooze", 200),
    ]
    assert len(list_actions(locked.context.stores.database, limit=10)) == 3


@pytest.mark.parametrize(
    ("web", "any_token", "fine"),
    [
        ({}, False, True), ({"listen": None, "login": "required"}, False, True), ({"login": "required"}, False, False),
        ({"listen": "0.0.0.0:80"}, False, False), ({"listen": "0.0.0.0:80"}, True, True), ({"listen": "[::]:80"}, False, False),
        ({"listen": "0.0.0.0:80", "insecure": True}, False, True), ({"listen": "0.0.0.0:80", "proxy": {}}, False, True),
    ],
)  # fmt: skip
def test_a_listener_that_others_reach_needs_somebody_who_can_log_in(web: dict[str, Any], any_token: bool, fine: bool) -> None:
    config = WebConfig.model_validate(web)
    if fine:
        require_somebody(config, any_token=any_token)
    else:
        with pytest.raises(ConfigError, match="streamwatch token create"):
            require_somebody(config, any_token=any_token)


def test_https(tmp_path: Path) -> None:
    tls = self_signed(tmp_path)
    with running(site_in(tmp_path), WebConfig(login="required", tls=tls)) as site:
        trusted = ssl.create_default_context(cafile=str(tls.certificate))
        with httpx.Client(base_url=site.base_url, verify=trusted, trust_env=False) as http:
            answer = http.post("/login", data={"token": site.token(Role.VIEWER)})
            assert answer.headers["strict-transport-security"]
            assert "secure" in answer.headers["set-cookie"].lower()
            assert http.cookies.get(COOKIE)
            assert http.get("/api/v1/me").status_code == 200


@pytest.mark.parametrize("wrong", ["missing", "text", "swapped"])
def test_a_certificate_that_is_none_is_said_before_anything_starts(tmp_path: Path, wrong: str) -> None:
    tls = self_signed(tmp_path)
    tls = {
        "missing": Tls(certificate=tmp_path / "no.pem", key=tls.key),
        "text": Tls(certificate=Path(__file__), key=tls.key),
        "swapped": Tls(certificate=tls.key, key=tls.certificate),
    }[wrong]
    with pytest.raises(ConfigError, match=r"web\.tls: certificate and key cannot be used"):
        WebServer(FastAPI(), "127.0.0.1:0", tls=tls)


def self_signed(folder: Path) -> Tls:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(now - timedelta(1)).not_valid_after(now + timedelta(1))
    certificate = made.add_extension(address, critical=False).sign(key, hashes.SHA256())
    tls = Tls(certificate=folder / "certificate.pem", key=folder / "key.pem")
    tls.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    tls.key.write_bytes(key.private_bytes(*form))
    return tls


def test_problems_are_documents_for_programs_and_pages_for_people(site: TestSite) -> None:
    with site.http() as http:
        problem = http.get("/api/v1/events/0199a7c2-5b1e-7c3a-9f00-4f2d6e1b8a90")
        page = http.get("/nothing", headers={"accept": "text/html"})
    assert problem.headers["content-type"] == "application/problem+json"
    assert json.loads(problem.text)["status"] == 404
    assert (page.status_code, "text/html" in page.headers["content-type"]) == (404, True)
    assert "There is no such page" in page.text


def test_what_a_proxy_hands_on_is_not_of_this_machine(site: TestSite) -> None:
    with site.http() as http:
        for header in ("x-forwarded-for", "forwarded", "x-forwarded-proto", "x-real-ip"):
            assert http.get("/api/v1/me", headers={header: "x"}).status_code == 401, header
        assert http.get("/api/v1/me").status_code == 200


def test_nobody_fills_the_audit_log(locked: TestSite) -> None:
    with locked.http() as http:
        for _ in range(5):
            http.post("/api/v1/deliveries/replay", json={})
            http.post("/nowhere%00")
        http.post("/login", data={"token": "swt_\0_x"})
    found = [action for _, action in list_actions(locked.context.stores.database, limit=10)]
    assert [(action.who, action.action, action.status) for action in found] == [("nobody", "POST /login", 401)]


def test_an_origin_that_is_none_is_elsewhere(site: TestSite) -> None:
    with site.http() as http:
        assert http.delete("/api/v1/cameras/gate/snooze", headers={"origin": "http://["}).status_code == 403


def test_other_programs_cookies_keep_nobody_out(locked: TestSite) -> None:
    with locked.http() as http:
        http.post("/login", data={"token": locked.token(Role.VIEWER)})
        session = http.cookies[COOKIE]
        http.cookies.clear()
        cookies = {"cookie": f'prefs={{"a":1}}; {COOKIE}={session}'}
        assert http.get("/api/v1/me", headers=cookies).status_code == 200


def test_a_body_that_does_not_come_is_not_waited_for(site: TestSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BODY_WITHIN_S", 0.3)
    port = int(site.base_url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.settimeout(10)
        client.sendall(b"POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4000\r\n\r\ntok")
        assert client.recv(4096).startswith(b"HTTP/1.1 408")


def test_an_answer_that_nobody_takes_is_broken_off(site: TestSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "TAKEN_WITHIN_S", 0.5)
    feed, port = site.context.require_live().feed, int(site.base_url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"GET /api/v1/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        until(lambda: len(feed._listeners) == 1)
        big = Notice("0" * 36, EventType.CAMERA_OFFLINE, "x" * 1_000_000, 1.0)
        for _ in range(20):
            feed.notice(big)
        until(lambda: len(feed._listeners) == 0)


def test_where_everybody_may_do_everything_no_other_name_may_change_something(tmp_path: Path) -> None:
    site = site_in(tmp_path)
    app = HostCheck(
        build_site(site.context, access_policy(WebConfig(listen="0.0.0.0:1", insecure=True))), tuple, changes_only=True
    )
    server = WebServer(app, "127.0.0.1:0", lambda: {"evil.example"})  # which a listener of all addresses does not ask
    server.start(ThreadGuard(SystemClock()))
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", trust_env=False) as http:
        led = {"host": "evil.example", "origin": "http://evil.example"}
        assert http.get("/api/v1/me", headers=led).status_code == 200
        assert http.delete("/api/v1/cameras/gate/snooze", headers=led).status_code == 421
        assert http.delete("/api/v1/cameras/gate/snooze").status_code == 200
    server.stop()
    site.context.stores.events.close()
