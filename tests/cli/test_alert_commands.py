"""`streamwatch alerts`, as an operator uses it; and that no secret is shown, whatever is asked."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamwatch.enums import MessageState
from streamwatch.store.outbox.administration import OutboxAdministration
from streamwatch.store.outbox.leases import Outbox
from streamwatch.store.outbox.messages import NewMessage, Settlement
from streamwatch.store.sessions import open_database
from tests.conftest import Cli
from tools.receiver import Receiver, running_receiver, status

SECRET, TOKEN = "whsec_cGxhbnRlZC1zZWNyZXQtb2Ytb3Bz", "planted-token"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running_receiver() as receiver:
        yield receiver


@pytest.fixture
def config(tmp_path: Path, receiver: Receiver) -> Path:
    """Two endpoints; of the first one, a message each that was delivered, is dead, and waits."""
    document = {
        "version": 1,
        "data_dir": str(tmp_path / "data"),
        "cameras": {"cam": {"source": "rtsp://127.0.0.1:1/"}},
        "alerts": {
            "webhooks": [
                {"name": "ops", "url": f"{receiver.url}?token={TOKEN}", "secret": SECRET, "timeout": "500ms"},
                {"name": "nobody", "url": f"http://user:{TOKEN}@127.0.0.1:9/", "timeout": "500ms"},
            ]
        },
    }
    engine = open_database(None, tmp_path / "data")
    outbox, now_s = Outbox(engine), time.time()
    content = {"type": "anomaly.started", "time": "2026-01-01T00:00:00.000Z"}
    outbox.put([NewMessage(f"m{n}", "ops", f"e{n}", "anomaly.started", "cam", content, now_s) for n in range(3)])
    states = (MessageState.DELIVERED, MessageState.DEAD)
    outbox.settle([Settlement(n + 1, state, now_s, 0.01, 0, 200, None, "ops") for n, state in enumerate(states)])
    engine.dispose()
    (tmp_path / "site.yaml").write_text(json.dumps(document))
    return tmp_path / "site.yaml"


def states(config: Path) -> list[str]:
    engine = open_database(None, config.parent / "data")
    found: list[str] = [message.state for message in reversed(OutboxAdministration(engine).list_messages())]
    engine.dispose()
    return found


def test_list_and_show_say_what_became_of_messages(config: Path, cli: Cli) -> None:
    listed = json.loads(cli("alerts", "list", "-c", config, "--json").out)
    assert [m["state"] for m in listed["messages"]] == [MessageState.PENDING, MessageState.DEAD, MessageState.DELIVERED]
    assert listed["endpoints"]["ops"]["pending"] == 1
    said = cli("alerts", "list", "-c", config).out
    assert "ops: 1 pending, the oldest since" in said
    assert "1 dead" in said
    shown = json.loads(cli("alerts", "show", "1", "-c", config, "--json").out)
    assert (shown["state"], shown["tries"][0]["status"]) == (MessageState.DELIVERED, 200)
    assert "HTTP 200" in cli("alerts", "show", "1", "-c", config).out
    refused = cli("alerts", "show", "99", "-c", config)
    assert (refused.code, "no message 99" in refused.error_line) == (2, True)


def test_replay_sends_again_what_was_given_up(config: Path, cli: Cli, receiver: Receiver) -> None:
    assert cli("alerts", "replay", "-c", config).code == 2
    assert "1 messages wait" in cli("alerts", "replay", "--dead", "-c", config).out
    assert states(config) == [MessageState.DELIVERED, MessageState.PENDING, MessageState.PENDING]
    assert cli("alerts", "send", "--until-empty", "-c", config).code == 0
    assert states(config) == [MessageState.DELIVERED] * 3
    assert {request.message_id for request in receiver.received} == {"m1", "m2"}


def test_a_test_message_is_signed_and_tells_what_is_wrong(config: Path, cli: Cli, receiver: Receiver) -> None:
    assert "ops: HTTP 200" in cli("alerts", "test", "ops", "-c", config).out
    assert "webhook-signature" in receiver.received[0].headers
    receiver.answers = [status(401)]
    refused = cli("alerts", "test", "ops", "-c", config)
    assert (refused.code, "HTTP 401" in refused.error_line) == (1, True)
    unknown = cli("alerts", "test", "x", "-c", config)
    assert (unknown.code, "it has ops, nobody" in unknown.error_line) == (2, True)


def test_an_endpoint_is_switched_on_again(config: Path, cli: Cli, receiver: Receiver) -> None:
    receiver.answers = [status(410)]
    engine = open_database(None, config.parent / "data")
    outbox = Outbox(engine)
    outbox.settle(
        [Settlement(3, MessageState.PENDING, time.time(), 0.1, time.time(), 410, "HTTP 410", "ops", "it answered 410 Gone")]
    )
    assert "ops: switched off, it answered 410 Gone" in cli("alerts", "list", "-c", config).out
    assert "switched on" in cli("alerts", "enable", "ops", "-c", config).out
    assert OutboxAdministration(engine).disabled() == {}
    engine.dispose()


@pytest.mark.parametrize(
    "arguments",
    [("list",), ("show", "1"), ("show", "3", "--json"), ("test", "nobody"), ("test", "ops"), ("send", "--until-empty")],
)
def test_no_secret_is_shown(
    config: Path, cli: Cli, caplog: pytest.LogCaptureFixture, receiver: Receiver, arguments: tuple[str, ...]
) -> None:
    caplog.set_level("DEBUG", logger="streamwatch")
    receiver.answers = [status(500)] if arguments == ("test", "ops") else []
    result = cli("alerts", *arguments, "-c", config)
    seen = result.out + result.err + caplog.text
    stored = (config.parent / "data/events.db").read_bytes().decode("latin-1")
    for planted in (SECRET, SECRET.removeprefix("whsec_"), TOKEN):
        assert planted not in seen
        assert planted not in stored


@pytest.mark.parametrize("arguments", [("alerts", "test", "ops", "-c"), ("check",)])
def test_a_secret_that_is_none_is_refused_without_being_shown(config: Path, cli: Cli, arguments: tuple[str, ...]) -> None:
    config.write_text(config.read_text().replace(SECRET, "planted-short"))
    refused = cli(*arguments, config)
    assert refused.code == 2
    assert "secret" in refused.error_line
    assert "planted-short" not in refused.err
