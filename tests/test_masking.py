"""No secret is shown: not a known one, wherever it stands, nor what looks like one in a URL."""

from __future__ import annotations

import io
import json
import logging
import string
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import pytest

from streamwatch.cli.main import main
from streamwatch.config.loading import Secrets, load_config
from streamwatch.errors import ConfigError, StreamwatchError
from streamwatch.logs import set_up_logging
from streamwatch.masking import SHOWN, mask_credentials, mask_url, remember, secrets_in, split_user_info
from streamwatch.video.sources import parse_source
from tests.conftest import Cli

PRINTABLE = "".join(c for c in string.printable if c.isprintable())
HARD = ["pa ss-word", "pa/ss-word", "pa#ss?wo&rd", "p%41ssword", "q\"uo'te\\d", "ümläut-€", PRINTABLE]


@pytest.mark.parametrize("secret", HARD)
def test_a_known_secret_is_masked_in_every_form(secret: str) -> None:
    remember(secret)
    for form in (secret, quote(secret), quote(secret, safe=""), json.dumps(secret), repr(secret)):
        assert mask_credentials(f"before {form} after") in {f"before {q}{SHOWN}{q} after" for q in ("", '"', "'")}


@pytest.mark.parametrize("password", HARD)
def test_a_password_of_a_variable_reaches_the_camera_as_it_is_and_is_shown_nowhere(
    password: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "site.yaml"
    path.write_text('version: 1\ncameras:\n  yard: {source: "rtsp://viewer:${CAM_PW}@127.0.0.1:1/s1"}\n')
    config = load_config(path, Secrets({"CAM_PW": password}, ()))
    source = parse_source(config.cameras["yard"].source.get_secret_value())
    parts = urlsplit(source.segments[0].location)
    assert (parts.hostname, parts.port, parts.path) == ("127.0.0.1", 1, "/s1")
    assert unquote(parts.password or "") == password
    said = [source.label, repr(source.segments[0]), str(StreamwatchError(f"cannot open {source.segments[0].location}"))]
    for text in (*said, mask_credentials(password)):
        assert password not in text
        assert quote(password, safe="") not in text


@pytest.mark.parametrize(
    ("rest", "user_info"),
    [
        ("host/path", None),
        ("host:554/path@2x", None),
        ("u:p@host/path@2x", "u:p"),
        ("u:p/w@host/path", "u:p/w"),
        ("u:p#w?x@host:554/path", "u:p#w?x"),
        ("u:a b@host/p", "u:a b"),
        ("u:p@w@host/p", "u:p@w"),
        ("[::1]:554/p", None),
    ],
)
def test_a_password_ends_where_the_host_begins(rest: str, user_info: str | None) -> None:
    assert split_user_info(rest)[0] == user_info


@pytest.mark.parametrize(
    ("written", "read"), [("a b", "a%20b"), ("p/w", "p%2Fw"), ("p#?w", "p%23%3Fw"), ("p%2Fw", "p%2Fw"), ("p!w", "p!w")]
)
def test_a_literal_password_is_read_as_rfc_3986_has_it_and_mended_where_it_has_not(written: str, read: str) -> None:
    source = parse_source(f"rtsp://u:{written}@127.0.0.1/s")
    assert source.segments[0].location == f"rtsp://u:{read}@127.0.0.1/s"
    assert written not in source.label
    assert mask_url(f"rtsp://u:{written}@127.0.0.1/s") == f"rtsp://{SHOWN}@127.0.0.1/s"


def test_of_a_url_only_what_is_secret_is() -> None:
    assert secrets_in("rtsp://viewer:hunter22@10.0.0.5:554/main") == {"hunter22"}
    remember("rtsp://viewer:hunter22@10.0.0.5:554/main")
    assert mask_credentials("10.0.0.5 hunter22 main") == f"10.0.0.5 {SHOWN} main"


def test_what_is_no_secret_of_a_url_or_a_path_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(
        "version: 1\ncameras:\n"
        '  yard: {source: "rtsp://10.0.0.5/live?videocodec=h264&camera=front&token=hunter22&stream=main"}\n'
        "  gone: {source: /nowhere/clips}\n"
    )
    load_config(path, Secrets({}, ()))
    assert mask_credentials("front h264 main /nowhere/clips") == "front h264 main /nowhere/clips"
    assert mask_credentials("hunter22") != "hunter22"


def test_a_variable_that_is_the_whole_user_part_keeps_its_colon(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text('version: 1\ncameras:\n  yard: {source: "rtsp://${LOGIN}@10.0.0.5/live"}\n')
    config = load_config(path, Secrets({"LOGIN": "viewer:p/w@x"}, ()))
    assert config.cameras["yard"].source.get_secret_value() == "rtsp://viewer:p%2Fw%40x@10.0.0.5/live"


def test_a_log_line_stays_json_whatever_a_library_says() -> None:
    remember("level")
    stream = io.StringIO()
    root, before = logging.getLogger(), logging.getLogger().handlers[:]
    try:
        root.handlers.clear()
        set_up_logging(logging.INFO, stream)
        error = RuntimeError('fetch of https://h/p?x=1 "quoted"')
        logging.getLogger("streamwatch.test").error("it failed", exc_info=error)
    finally:
        root.handlers[:] = before
    line = json.loads(stream.getvalue())
    assert line["level"] == "error"
    assert "RuntimeError" in line["exception"]


def test_logs_show_no_known_secret() -> None:
    remember("correct-horse")
    stream = io.StringIO()
    root, before = logging.getLogger(), logging.getLogger().handlers[:]
    try:
        root.handlers.clear()
        set_up_logging(logging.INFO, stream)
        logging.getLogger("streamwatch.test").error("a library says %r", "correct-horse", extra={"camera": "yard"})
    finally:
        root.handlers[:] = before
    assert "correct-horse" not in stream.getvalue()
    assert SHOWN in stream.getvalue()


def test_a_secret_file_that_is_no_text_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "CAM_PW").write_bytes(b"\xff\xfe\x00")
    path = tmp_path / "site.yaml"
    path.write_text('version: 1\ncameras:\n  yard: {source: "rtsp://viewer:${CAM_PW}@127.0.0.1:1/s1"}\n')
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        load_config(path, Secrets({}, (tmp_path,)))


def test_a_secret_file_of_windows_has_no_line_end_in_it(tmp_path: Path) -> None:
    (tmp_path / "CAM_PW").write_bytes(b"swordfish\r\n")
    assert Secrets({}, (tmp_path,)).get("CAM_PW") == "swordfish"


def test_check_shows_no_password(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "site.yaml"
    path.write_text('version: 1\ncameras:\n  yard: {source: "rtsp://viewer:se cret/word@127.0.0.1:1/s1"}\n')
    with pytest.raises(SystemExit):
        main(["check", str(path), "--probe"])
    said = "".join(capsys.readouterr())
    assert "cret" not in said
    assert "127.0.0.1" in said


SPACED = "Geheim#7/x y"
FAULTY = [
    'cam: {{source: "rtsp://viewer:{}@127.0.0.1:99999/s"}}',
    'cam: {{source: "rtsp://viewer:{}@bad host/s"}}',
    'cam: {{sorce: "rtsp://viewer:{}@127.0.0.1/s", source: a.mp4}}',
    'cam: {{source: a.mp4, fps: "rtsp://viewer:{}@127.0.0.1/s"}}',
    'cam: {{source: "rtsp://127.0.0.1:99999/s?pwd={}&a=1"}}',
    'cam: "rtsp://viewer:{}@127.0.0.1/s"',
]


@pytest.mark.parametrize("line", FAULTY)
def test_a_faulty_configuration_shows_no_password_that_was_written_into_it(line: str, tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(f"version: 1\ncameras:\n  {line.format(SPACED)}\n")
    with pytest.raises(ConfigError) as refused:
        load_config(path)
    said = "\n".join(refused.value.problems)
    assert "Geheim" not in said
    assert "x y" not in said


@pytest.mark.parametrize("place", ["?token={}", "?a=1&token={}&b=2", "/user=admin&password={}&channel=1", "/{}/x"])
def test_a_variable_anywhere_in_a_url_arrives_as_it_is_and_is_shown_nowhere(place: str, tmp_path: Path) -> None:
    value = "to k#1&x=2/é"
    path = tmp_path / "site.yaml"
    path.write_text(f'version: 1\ncameras:\n  cam: {{source: "http://127.0.0.1:1/s{place.format("${TOK}")}"}}\n')
    location = parse_source(load_config(path, Secrets({"TOK": value}, ())).cameras["cam"].source.get_secret_value())
    parts = urlsplit(location.segments[0].location)
    assert not parts.fragment
    assert value in unquote(parts.path) or value in unquote(parts.query)
    assert all(part not in location.label for part in ("k#1", "x=2", "é", quote("k#1&x=2")))
    assert value not in mask_credentials(f"it cannot be reached: {value}")


def test_a_variable_that_is_a_name_or_a_host_is_no_secret(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text('version: 1\ncameras:\n  cam: {source: "rtsp://${HOST}:554/live/${NAME}"}\n')
    config = load_config(path, Secrets({"HOST": "camera-7.example", "NAME": "main/stream_2"}, ()))
    assert config.cameras["cam"].source.get_secret_value() == "rtsp://camera-7.example:554/live/main/stream_2"
    assert mask_credentials("camera-7.example gives main/stream_2") == "camera-7.example gives main/stream_2"


URL = "rtsp://viewer:hunter2secret@10.0.0.5/s1"


@pytest.mark.parametrize(
    "arguments",
    [
        ("simulate", URL),
        ("run", "-c", URL),
        ("check", URL),
        ("backup", "-c", URL, "x.tar"),
        ("model", "show", URL),
        ("score", "--model", URL, "x.mp4"),
        ("restore", URL, "--to", "x"),
    ],
)
def test_a_url_that_is_taken_for_a_file_shows_no_password(arguments: tuple[str, ...], cli: Cli) -> None:
    result = cli(*arguments)
    assert result.code != 0
    assert "hunter2" not in result.out + result.err


def test_what_only_looks_like_a_path_with_a_password_is_shown() -> None:
    for text in ("C:/Users/a@b", "see yard:/x", "at 10:/5, a@b", "file:/srv/a:b"):
        assert mask_credentials(text) == text
