"""A site in one file, and back, elsewhere; what is damaged or in the way changes nothing."""

from __future__ import annotations

import hashlib
import io
import json
import sqlite3
import subprocess
import tarfile
from contextlib import closing
from pathlib import Path

import pytest

from streamwatch.enums import EventType
from streamwatch.evidence.backup import _added
from streamwatch.records import EventChange
from streamwatch.store.event_store import EventStore
from streamwatch.store.sessions import open_database
from tests.conftest import Cli
from tests.store.test_event_store import ended, event


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site with a model, a labelled event and its evidence."""
    data = tmp_path / "old"
    (data / "models/yard.lessons").mkdir(parents=True)
    (data / "models/yard.inputs").mkdir()
    (data / "models/yard.safetensors").write_bytes(b"a model")
    (data / "models/yard.lessons/journal.json").write_text("{}")
    (data / "models/yard.inputs/frames.bin").write_bytes(bytes(1000))
    store, opened = EventStore(open_database(None, data)), event()
    happened = ended(opened)
    store.record(EventChange(EventType.ANOMALY_STARTED, opened, 100.0))
    store.record(EventChange(EventType.ANOMALY_ENDED, happened, 110.0))
    store.label(happened.id, "normal")
    (data / "clips").mkdir()
    (data / f"clips/{happened.id}.mp4").write_bytes(b"a clip")
    document = {"version": 1, "data_dir": str(data), "cameras": {"yard": {"source": "rtsp://viewer:${YARD}@127.0.0.1:1/"}}}
    (tmp_path / "site.yaml").write_text(json.dumps(document))
    return tmp_path


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YARD", "planted-password")


def test_a_site_is_moved(site: Path, cli: Cli) -> None:
    out, new = site / "site.tar", site / "new"
    saved = cli("backup", "-c", site / "site.yaml", out)
    assert saved.code == 0, saved.err
    assert out.stat().st_mode & 0o077 == 0
    assert b"planted-password" not in out.read_bytes()
    restored = cli("restore", out, "--to", new, "--config-out", site / "new.yaml")
    assert restored.code == 0, restored.err
    assert (new / "models/yard.safetensors").read_bytes() == b"a model"
    assert (new / "models/yard.lessons/journal.json").exists()
    assert not (new / "models/yard.inputs").exists(), "inputs of the footage can be decoded again"
    (moved,) = EventStore(open_database(None, new)).list_events()
    assert (moved.label, moved.reason) == ("normal", "normal")
    assert (new / f"clips/{moved.id}.mp4").read_bytes() == b"a clip"
    assert json.loads((site / "new.yaml").read_text())["cameras"]["yard"]["source"] == "rtsp://viewer:${YARD}@127.0.0.1:1/"
    assert not [path for path in new.iterdir() if path.name.startswith(".")]


def test_evidence_can_stay(site: Path, cli: Cli) -> None:
    assert cli("backup", "-c", site / "site.yaml", site / "site.tar", "--no-evidence").code == 0
    with tarfile.open(site / "site.tar") as archive:
        assert not [name for name in archive.getnames() if name.startswith("clips")]


def test_nothing_is_written_over_unasked(site: Path, cli: Cli) -> None:
    out = site / "site.tar"
    assert cli("backup", "-c", site / "site.yaml", out).code == 0
    again = cli("backup", "-c", site / "site.yaml", out)
    assert (again.code, "exists already" in again.error_line) == (2, True)
    refused = cli("restore", out, "--to", site / "old")
    assert (refused.code, "holds a site already" in refused.error_line) == (2, True)
    refused = cli("restore", out, "--to", site / "new", "--config-out", site / "site.yaml")
    assert (refused.code, (site / "new").exists()) == (2, False)
    (site / "old/models/yard.safetensors").write_bytes(b"another")
    assert cli("restore", out, "--to", site / "old", "--force").code == 0
    assert (site / "old/models/yard.safetensors").read_bytes() == b"a model"


@pytest.mark.parametrize("damage", ["altered", "cut", "no backup", "outside", "link"])
def test_a_damaged_backup_changes_nothing(site: Path, cli: Cli, damage: str) -> None:
    out = site / "site.tar"
    cli("backup", "-c", site / "site.yaml", out)
    content = out.read_bytes()
    if damage == "altered":
        out.write_bytes(content.replace(b"a model", b"A model"))
    elif damage == "cut":
        out.write_bytes(content[: len(content) // 2])
    elif damage == "link":
        with tarfile.open(out, "a") as archive:
            link = tarfile.TarInfo("clips/link.mp4")
            link.type, link.linkname = tarfile.SYMTYPE, "../models/yard.safetensors"
            archive.addfile(link)
    else:
        with tarfile.open(out, "w") as archive:
            archive.add(site / "site.yaml", "models/x" if damage == "no backup" else "../escaped")
    refused = cli("restore", out, "--to", site / "new")
    assert refused.code == 2, refused.out
    assert len(refused.err.splitlines()) == 1
    assert not (site / "new/models").exists()
    assert not (site / "escaped").exists()


@pytest.mark.parametrize(
    "names",
    [("/escaped",), ("models/../../escaped",), ("models", "models/x"), ("models/x", "models"), (".",), ("manifest.json/x",)],
    ids=str,
)
def test_names_that_no_backup_has_are_refused(tmp_path: Path, cli: Cli, names: tuple[str, ...]) -> None:
    """An archive that somebody else made: no name leads out of the folder, and none takes another's place."""
    with tarfile.open(tmp_path / "site.tar", "w") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name))
    refused = cli("restore", tmp_path / "site.tar", "--to", tmp_path / "inner/new")
    assert refused.code == 2, refused.out
    assert len(refused.err.splitlines()) == 1
    assert list((tmp_path / "inner/new").iterdir()) == []
    assert [path.name for path in tmp_path.rglob("escaped")] == []
    assert not Path("/escaped").exists()


def test_a_clip_that_grows_while_it_is_saved_is_in_the_backup_as_far_as_it_was(site: Path, tmp_path: Path) -> None:
    """A daemon may go on: what counts is what is in the archive, not what was on the disk a moment before."""
    growing = tmp_path / "growing.mp4"
    growing.write_bytes(b"begins")
    with tarfile.open(tmp_path / "one.tar", "w") as archive:
        entry = _added(archive, "clips/growing.mp4", growing)
        growing.write_bytes(b"begins and goes on")
    with tarfile.open(tmp_path / "one.tar") as archive:
        content = archive.extractfile("clips/growing.mp4")
        assert content
        assert entry["clips/growing.mp4"]["sha256"] == hashlib.sha256(content.read()).hexdigest()
        assert _added(archive, "clips/gone.mp4", tmp_path / "gone.mp4") == {}
    with pytest.raises(FileNotFoundError), tarfile.open(tmp_path / "two.tar", "w") as archive:
        _added(archive, "models/gone.safetensors", tmp_path / "gone.safetensors")


def manifest_with(files: object, *, form: object = 1) -> bytes:
    return json.dumps({"format": form, "streamwatch": "0", "files": files}).encode()


@pytest.mark.parametrize(
    "manifest",
    [
        b"", b"[]", b"3", b"{", b"[" * 100_000, manifest_with([]), manifest_with("x"), manifest_with({"models/a": 3}),
        manifest_with({"models/a": {}}), manifest_with({"models/a": {"bytes": "1", "sha256": 2}}), manifest_with({"..": {}}),
        manifest_with({"models/\0": {"bytes": 1, "sha256": ""}}), manifest_with({}, form=[]), manifest_with({}, form=None),
        manifest_with({"models": {"bytes": 1, "sha256": ""}}), manifest_with({"models/absent": {"bytes": 1, "sha256": ""}}),
    ],
)  # fmt: skip
def test_a_malformed_manifest_is_an_error_in_a_line(tmp_path: Path, cli: Cli, manifest: bytes) -> None:
    with tarfile.open(tmp_path / "site.tar", "w") as archive:
        member = tarfile.TarInfo("manifest.json")
        member.size = len(manifest)
        archive.addfile(member, io.BytesIO(manifest))
    result = cli("restore", tmp_path / "site.tar", "--to", tmp_path / "new")
    assert result.code == 2
    assert "internal fault" not in result.error_line
    assert not [path for path in tmp_path.glob("new/*") if not path.name.startswith(".")]


def test_an_archive_that_says_it_holds_more_than_it_does_writes_nothing(tmp_path: Path, cli: Cli) -> None:
    """A sparse member of some hundred bytes unpacks to gigabytes."""
    with (tmp_path / "events.db").open("wb") as file:
        file.truncate(6 * 2**30)
    made = subprocess.run(
        ["tar", "--sparse", "--format=gnu", "-cf", "site.tar", "events.db"], cwd=tmp_path, check=False, capture_output=True
    )
    if made.returncode:
        pytest.skip(f"skipped: this tar makes no sparse archives ({made.stderr.decode().strip()})")
    (tmp_path / "events.db").unlink()
    assert (tmp_path / "site.tar").stat().st_size < 100_000
    result = cli("restore", tmp_path / "site.tar", "--to", tmp_path / "new")
    assert result.code == 2
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) < 100_000


def test_no_configuration_is_said_before_anything_is_in_its_place(tmp_path: Path, cli: Cli) -> None:
    content = b"model"
    entry = {"models/a.safetensors": {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}}
    with tarfile.open(tmp_path / "site.tar", "w") as archive:
        for name, body in (("models/a.safetensors", content), ("manifest.json", manifest_with(entry))):
            member = tarfile.TarInfo(name)
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
    result = cli("restore", tmp_path / "site.tar", "--to", tmp_path / "new", "--config-out", tmp_path / "site.yaml")
    assert result.code == 2
    assert "holds no configuration" in result.error_line
    assert not list((tmp_path / "new").iterdir())


def test_a_damaged_database_is_no_backup(site: Path, cli: Cli) -> None:
    database = site / "old" / "events.db"
    with closing(sqlite3.connect(database)) as connection:  # what is still in the log would be damaged by its removal alone
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = bytearray(database.read_bytes())
    assert len(content) > 4096
    content[4096:] = b"\xff" * (len(content) - 4096)
    database.write_bytes(content)
    for leftover in database.parent.glob("events.db-*"):
        leftover.unlink()
    result = cli("backup", "-c", site / "site.yaml", site / "site.tar")
    assert result.code == 2
    assert "internal fault" not in result.error_line
    assert not (site / "site.tar").exists()
