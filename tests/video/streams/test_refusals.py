"""Every refusal of a camera says what it is and what to do; the camera is a socket that answers as it is told."""

from __future__ import annotations

import http.server
import io
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np
import pytest

from streamwatch.errors import SourceDisconnected
from streamwatch.video.sources import parse_source
from streamwatch.video.streams.opener import PyAvOpener, StreamOptions

MD5 = 'Digest realm="cam", nonce="1f"'
SHA256 = 'Digest realm="cam", nonce="2f", algorithm=SHA-256'


@contextmanager
def a_camera(status: str, challenges: tuple[str, ...] = ()) -> Iterator[str]:
    """Answers every request but OPTIONS with this status; its URL."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while request := self.rfile.readline():
                headers = dict(line.decode().strip().split(": ", 1) for line in iter(self.rfile.readline, b"\r\n"))
                options = request.startswith(b"OPTIONS")
                lines = [f"RTSP/1.0 {'200 OK' if options else status}", f"CSeq: {headers['CSeq']}"]
                lines += [] if options else [f"WWW-Authenticate: {challenge}" for challenge in challenges]
                self.wfile.write("\r\n".join([*lines, "Content-Length: 0", "", ""]).encode())

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"rtsp://viewer:hunter22@127.0.0.1:{server.server_address[1]}/main"
        server.shutdown()


def refusal(url: str) -> str:
    opener = PyAvOpener(StreamOptions("tcp", 5.0, 5.0))
    with pytest.raises(SourceDisconnected) as refused, opener.open(parse_source(url).segments[0]):
        pass
    assert "hunter22" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("400 Bad Request", "does not understand the request (400)"),
        ("403 Forbidden", "forbids it to this user (403)"),
        ("404 Not Found", "no such stream (404); correct the path"),
        ("453 Not Enough Bandwidth", "not enough bandwidth for another viewer (453)"),
        ("461 Unsupported Transport", "does not support this transport (461); change `transport`"),
        ("451 Parameter Not Understood", "the camera refuses (451)"),
        ("503 Service Unavailable", "too busy, or not ready yet (503)"),
    ],
)
def test_each_status_says_what_it_is_and_what_to_do(status: str, said: str) -> None:
    with a_camera(status) as url:
        assert said in refusal(url)


@pytest.mark.parametrize("challenges", [(SHA256,), (MD5, SHA256)])
def test_an_authentication_that_ffmpeg_does_not_know_is_named(challenges: tuple[str, ...]) -> None:
    with a_camera("401 Unauthorized", challenges) as url:
        assert "Digest authentication with SHA-256, which FFmpeg does not know" in refusal(url)


@pytest.mark.parametrize("challenges", [(), (MD5,), ('Basic realm="cam"',), (SHA256, MD5)])
def test_a_wrong_password_is_one(challenges: tuple[str, ...]) -> None:
    with a_camera("401 Unauthorized", challenges) as url:
        assert "refuses the user or password; correct them" in refusal(url)


def test_a_snapshot_is_no_stream() -> None:
    encoded = io.BytesIO(cv2.imencode(".jpg", np.zeros((48, 64, 3), np.uint8))[1].tobytes()).getvalue()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "image/jpeg")
            self.send_header("Content-Length", str(len(encoded)))
            self.end_headers()
            self.wfile.write(encoded)

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert "answers with one picture, and no stream" in refusal(f"http://127.0.0.1:{server.server_address[1]}/snap.jpg")
        server.shutdown()


@pytest.mark.parametrize(("challenge", "said"), [(SHA256, "Digest authentication with SHA-256"), (MD5, "correct them")])
def test_http_cameras_are_told_apart_as_rtsp_cameras_are(challenge: str, said: str) -> None:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(401)
            self.send_header("WWW-Authenticate", challenge)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert said in refusal(f"http://viewer:hunter22@127.0.0.1:{server.server_address[1]}/video")
        server.shutdown()


def test_a_password_that_ffmpeg_cuts_off_is_not_called_wrong() -> None:
    with a_camera("401 Unauthorized", (MD5,)) as url:
        assert "FFmpeg cuts them" in refusal(url.replace("hunter22", "hunter22" * 16))


def test_a_protocol_that_is_not_known_is_named() -> None:
    assert "does not know the protocol foo; use rtsp:// or http://" in refusal("foo://127.0.0.1/a")


class _Answering(http.server.BaseHTTPRequestHandler):
    """Answers with the status that its path names, or with a page."""

    def do_GET(self) -> None:
        named = self.path.rsplit("/", 1)[1]
        body = b"" if named.isdigit() or named == "empty" else b"<html>login</html>"
        self.send_response(int(named) if named.isdigit() else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def web() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answering) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("400", "does not understand the request (400)"),
        ("405", "takes no such request there (405)"),
        ("418", "the camera refuses (418)"),
        ("429", "is asked too often (429)"),
        ("500", "has a fault (500)"),
        ("502", "does not reach it (502)"),
        ("503", "too busy, or not ready yet (503)"),
        ("page", "something answers, and what it sends is no stream"),
        ("empty", "something answers, and what it sends is no stream"),
    ],
)
def test_each_answer_of_http_is_told_as_itself(web: str, path: str, said: str) -> None:
    assert said in refusal(f"http://{web}/{path}")


def test_another_service_at_the_port_of_a_camera_is_not_taken_for_a_dead_one(web: str) -> None:
    assert "something answers, and what it sends is no stream" in refusal(f"rtsp://{web}/main")
