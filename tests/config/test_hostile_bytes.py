"""Whatever the bytes: a configuration, or one line that says what is wrong; never an internal fault."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from streamwatch.config.loading import Secrets, load_config
from streamwatch.errors import ConfigError
from tests.conftest import REPOSITORY

NO_SECRETS = Secrets({}, ())
EXAMPLE = (REPOSITORY / "configs/example.yaml").read_bytes()
MUTATIONS = 2000
LEAST = "version: 1\ncameras:\n  a:\n    source: rtsp://127.0.0.1/\n"
FRAGMENTS = (
    b"!secret x", b'!!binary "%"', b"2026-02-30", b"9" * 5000, b"[" * 300, b"&a [*a]", b"*x", b".inf", b"-.inf", b".nan",
    b"yes", b"~", b"\x00", b"\xff", b"1e400", b"0x", b'"\\ud800"', b'"\\0"', b"? [a]\n: b\n", b"<<: *a", b"%TAG", b"---",
    b"...", b"{}", b"[]", b"!!python/object:os.system x", b"12:99:99", b"0o9", b"=", b"- ", b"\t", b"!!float x", b"!!int _",
    b"!!timestamp x",
)  # fmt: skip


def mutated(rng: random.Random) -> bytes:
    kind = rng.randrange(4)
    if kind == 0:
        return rng.randbytes(rng.randrange(400))
    data = bytearray(EXAMPLE)
    for _ in range(rng.randrange(1, 5)):
        at = rng.randrange(len(data))
        if kind == 1:
            del data[at : at + rng.randrange(1, 20)]
        elif kind == 2:
            data[at : at + rng.randrange(12)] = rng.choice(FRAGMENTS)
        else:
            lines = bytes(data).split(b"\n")
            chosen = rng.randrange(len(lines))
            if b":" in lines[chosen]:
                lines[chosen] = lines[chosen].split(b":")[0] + b": " + rng.choice(FRAGMENTS)
            data = bytearray(b"\n".join(lines))
    return bytes(data)


def test_no_bytes_are_an_internal_fault(tmp_path: Path) -> None:
    rng, path, refused = random.Random(17), tmp_path / "site.yaml", list[str]()
    for _ in range(MUTATIONS):
        path.write_bytes(mutated(rng))
        try:
            load_config(path, NO_SECRETS)
        except ConfigError as error:
            refused.append(str(error))
    assert all(line.strip() and "\n" not in line for line in refused)
    assert 0.5 * MUTATIONS < len(refused) < MUTATIONS  # some mutations are of comments


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("update_at: 2026-02-30", "update_at = '2026-02-30': cannot be read"),
        ("update_at: !secret at", "update_at = 'at': !secret is not known here"),
        ("clips: " + "[" * 3000, "nested too deeply"),
        ("clips: " + "[" * 40 + "]" * 40, "nested too deeply"),
        ("retention: {days: " + "9" * 5000 + "}", "cannot be read (ValueError)"),
        ("retention: {days: yes}", "retention.days"),
        ("defaults: {fps: yes}", "defaults.fps"),
        ("defaults: {fps: .inf}", "defaults.fps"),
        ("defaults: {frame_rate: .nan}", "defaults.frame_rate"),
        ("defaults: {cooldown: " + "9" * 400 + "d}", "a duration of at most"),
        ("defaults: {alarm_budget: " + "9" * 400 + "/day}", "a rate of at most"),
        ("clips: {buffer: " + "9" * 400 + "GB}", "a size of at most"),
        ('data_dir: "a\\0b"', "holds a NUL"),
        ('data_dir: "a\\ud800b"', "holds half a character"),
        ("alerts: {webhooks: [{name: ops, url: http://a..b/}]}", "must be http://HOST or https://HOST"),
        ("alerts: {webhooks: [{name: ops, url: file:///etc/passwd}]}", "must be http://HOST or https://HOST"),
        ("alerts: {webhooks: [{name: ops, url: https://host:99999/}]}", "must be http://HOST or https://HOST"),
        ("alerts: {mqtt: {url: mqtt://broker:18831883}}", "must be mqtt://HOST or mqtts://HOST"),
        ("alerts: {mqtt: {url: mqtt://broker, discovery: home/+/#}}", "a topic without + and #"),
        ("metrics: {listen: 127.0.0.1:٩٤٦٤}", "must be HOST:PORT"),
        ("metrics: {listen: a..b:9464}", "must be HOST:PORT"),
        ("? [a, b]\n: c", "a key must be a word"),
        ("x: &a [1, 2]\n" + "".join(f"{k}: &{k} [{f'*{chr(ord(k) - 1)}, ' * 10}]\n" for k in "bcdefgh"), "too many values"),
        ("x: &x [*x]", "nested too deeply"),
        ("x: 1\ncameras: {yard.previous: {source: rtsp://127.0.0.1/}}", "the key occurs twice"),
    ],
    ids=lambda text: text[:24],
)  # fmt: skip
def test_what_no_part_could_use_is_said_when_it_is_read(tmp_path: Path, more: str, said: str) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(f"{LEAST}{more}\n")
    with pytest.raises(ConfigError) as refused:
        load_config(path, NO_SECRETS)
    assert said in " ".join((str(refused.value), *refused.value.problems))


def test_a_file_that_is_no_configuration_is_not_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    with path.open("wb") as file:
        file.truncate(10**9)
    with pytest.raises(ConfigError, match="larger than 4 MB"):
        load_config(path, NO_SECRETS)


@pytest.mark.parametrize(
    "more",
    [
        "alerts: {webhooks: [{name: ops, url: 'https://user:pass@hooks.example/x?token=1'}]}",
        "alerts: {webhooks: [{name: ops, url: 'http://[::1]:8080/'}]}",
        "alerts: {webhooks: [{name: ops, url: 'http://bücher.example/'}]}",
        "alerts: {webhooks: [{name: ops, url: 'http://under_score:80/'}]}",
        "alerts: {mqtt: {url: 'mqtts://me:pa%2Fss@broker.local:8883', topic: home/streamwatch, discovery: null}}",
        "metrics: {listen: '[::1]:9464'}",
        "metrics: {listen: 0.0.0.0:0}",
    ],
)
def test_what_people_write_is_taken(tmp_path: Path, more: str) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(f"{LEAST}{more}\n")
    load_config(path, NO_SECRETS)


def test_no_camera_takes_another_ones_previous_model(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text("version: 1\ncameras: {yard: {source: rtsp://a/}, yard.previous: {source: rtsp://b/}}\n")
    with pytest.raises(ConfigError, match=r"must not end with \.previous"):
        load_config(path, NO_SECRETS)
