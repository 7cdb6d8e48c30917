"""Machines that share models: what one changes the others take up, whole or not at all, and no change is lost in silence."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from streamwatch.config.schema import Config
from streamwatch.errors import ConfigError, ModelFileError, SharedModelsError
from streamwatch.scenes.shared_models.store import SharedModels, Sync
from streamwatch.scenes.shared_models.use import fetch, fetch_missing, shared, shared_models_of

STORES = ("folder", "memory")


@pytest.fixture(params=STORES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where models are shared: a folder, and a store of objects."""
    MemoryFileSystem.store.clear()
    yield str(tmp_path / "store") if request.param == "folder" else "memory://bucket/site"
    MemoryFileSystem.store.clear()


class Machine:
    """One of several that share models."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder / "models"
        self.folder.mkdir(parents=True)
        self.models = SharedModels(url, self.folder)

    def learn(self, content: str, name: str = "dock.safetensors") -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)

    def sync(self, camera: str = "dock") -> Sync:
        return self.models.sync(camera)

    @property
    def holds(self) -> dict[str, str]:
        found = (path for path in self.folder.rglob("*") if path.is_file() and path.name[0] != ".")
        return {path.relative_to(self.folder).as_posix(): path.read_text() for path in found}


@pytest.fixture
def two(tmp_path: Path, url: str) -> tuple[Machine, Machine]:
    return Machine(tmp_path / "a", url), Machine(tmp_path / "b", url)


def test_what_one_learns_the_other_has(two: tuple[Machine, Machine]) -> None:
    first, second = two
    assert second.sync() == Sync.SAME, "nothing is shared yet"
    for name in ("dock.safetensors", "dock@grey.safetensors", "dock.previous.safetensors", "dock.history.jsonl"):
        first.learn(f"1 {name}", name)
    first.learn("a lesson", "dock.lessons/journal.json")
    assert [first.sync(), first.sync()] == [Sync.PUSHED, Sync.SAME]
    assert [second.sync(), second.sync()] == [Sync.PULLED, Sync.SAME]
    assert second.holds == first.holds
    second.learn("2")
    (second.folder / "dock.lessons/journal.json").unlink()
    assert [second.sync(), first.sync()] == [Sync.PUSHED, Sync.PULLED]
    assert first.holds == second.holds
    assert first.holds["dock.safetensors"] == "2"


def test_what_is_not_a_cameras_model_stays_where_it_is(two: tuple[Machine, Machine]) -> None:
    first, second = two
    first.learn("1")
    first.learn("another camera's", "dock.west.safetensors")
    first.learn("pictures", "dock.inputs/frames.bin")
    first.learn("page", "dock.outliers.html")
    first.sync()
    second.sync()
    assert second.holds == {"dock.safetensors": "1"}


def test_what_two_changed_is_as_it_was_shared_first_and_the_other_is_kept(
    two: tuple[Machine, Machine], caplog: pytest.LogCaptureFixture
) -> None:
    first, second = two
    first.learn("0")
    first.sync()
    second.sync()
    first.learn("from the first")
    second.learn("from the second")
    first.sync()
    with caplog.at_level(logging.ERROR):
        assert second.sync() == Sync.PULLED
    assert second.holds["dock.safetensors"] == "from the first"
    (aside,) = second.folder.glob(".dock.safetensors.*.own")
    assert aside.read_text() == "from the second"
    assert "was changed here and elsewhere" in caplog.text


def test_two_that_have_the_same_already_move_nothing(two: tuple[Machine, Machine]) -> None:
    first, second = two
    for machine in two:
        machine.learn("copied by hand")
    assert [first.sync(), second.sync(), second.sync()] == [Sync.PUSHED, Sync.SAME, Sync.SAME]
    assert not list(second.folder.glob("*.own"))


def test_what_two_changed_of_different_files_is_no_conflict(two: tuple[Machine, Machine]) -> None:
    first, second = two
    for name in ("dock.safetensors", "dock@grey.safetensors"):
        first.learn("0", name)
    first.sync()
    second.sync()
    first.learn("a night", "dock@grey.safetensors")
    second.learn("a label")
    assert [first.sync(), second.sync(), first.sync()] == [Sync.PUSHED, Sync.PULLED, Sync.PULLED]
    assert first.holds == second.holds == {"dock.safetensors": "a label", "dock@grey.safetensors": "a night"}
    assert not [*first.folder.glob(".*.own"), *second.folder.glob(".*.own")]


def test_a_model_that_was_removed_here_comes_back_and_is_removed_nowhere(two: tuple[Machine, Machine]) -> None:
    first, second = two
    for name in ("dock.safetensors", "dock.history.jsonl"):
        first.learn("1", name)
    first.sync()
    second.sync()
    (second.folder / "dock.safetensors").unlink()
    assert second.sync() == Sync.PULLED
    for path in second.folder.glob("dock*"):
        path.unlink()
    assert second.sync() == Sync.PULLED
    assert second.holds["dock.safetensors"] == first.holds["dock.safetensors"] == "1"


def test_a_store_that_lost_what_it_had_is_not_taken_for_an_empty_one(two: tuple[Machine, Machine], url: str) -> None:
    """As a folder that is not mounted: what is written there then is nobody's, and hides the true one's history."""
    first, _ = two
    first.learn("1")
    first.sync()
    files, root = fsspec.core.url_to_fs(url)
    files.rm(root, recursive=True)
    with pytest.raises(SharedModelsError, match="is it mounted"):
        first.sync()
    (first.folder / ".dock.shared.json").unlink()
    assert first.sync() == Sync.PUSHED


def test_a_file_that_is_replaced_while_it_is_sent_is_shared_under_no_wrong_name(
    two: tuple[Machine, Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = two
    first.learn("version 1")
    real = first.models._files

    class Meanwhile(Failing):
        def __getattr__(self, name: str) -> Any:
            if name == "put_file":
                replacement = first.folder / "new"
                replacement.write_text("version 2")
                replacement.replace(first.folder / "dock.safetensors")
            return super().__getattr__(name)

    with monkeypatch.context() as patched:
        patched.setattr(first.models, "_files", Meanwhile(real, 1000))
        assert first.sync() == Sync.SAME
    assert second.sync() == Sync.SAME, "nothing was shared"
    assert [first.sync(), second.sync()] == [Sync.PUSHED, Sync.PULLED]
    assert second.holds == {"dock.safetensors": "version 2"}


def test_a_file_that_is_replaced_while_another_is_fetched_is_not_overwritten(
    two: tuple[Machine, Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = two
    first.learn("1")
    first.sync()
    second.sync()
    first.learn("2, elsewhere")
    first.sync()
    real = second.models._files

    class Meanwhile(Failing):
        def __getattr__(self, name: str) -> Any:
            if name == "get_file":
                second.learn("2, here")
            return super().__getattr__(name)

    with monkeypatch.context() as patched:
        patched.setattr(second.models, "_files", Meanwhile(real, 1000))
        assert second.sync() == Sync.SAME
    assert second.holds == {"dock.safetensors": "2, here"}
    assert second.sync() == Sync.PULLED, "a conflict, of which nothing is lost"
    assert [path.read_text() for path in second.folder.glob(".*.own")] == ["2, here"]


def test_whatever_a_kind_of_store_raises_is_one_error(two: tuple[Machine, Machine], monkeypatch: pytest.MonkeyPatch) -> None:
    class Cloud(Failing):
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError("no credentials for s3cret-bucket at https://u:pass-word@cloud.example")

    two[0].learn("1")
    monkeypatch.setattr(two[0].models, "_files", Cloud(None, 0))
    with pytest.raises(SharedModelsError, match="RuntimeError: no credentials") as raised:
        two[0].sync()
    assert "pass-word" not in str(raised.value)


def test_who_watches_asks_the_store_for_what_is_missing_alone(tmp_path: Path) -> None:
    config = config_of(tmp_path / "a", str(tmp_path / "store"))
    other = Machine(tmp_path / "b", str(tmp_path / "store"))
    other.learn("1")
    other.sync()
    assert fetch_missing(config, "dock") == Sync.PULLED
    other.learn("2")
    other.sync()
    assert fetch_missing(config, "dock") == Sync.SAME
    store = shared_models_of(config)
    assert store
    assert store.sync("dock") == Sync.PULLED


def test_a_damaged_file_is_not_taken(two: tuple[Machine, Machine], url: str) -> None:
    first, second = two
    first.learn("right")
    first.sync()
    files, root = fsspec.core.url_to_fs(url)
    (blob,) = (path for path in files.find(f"{root}/dock") if not path.endswith(".json"))
    files.pipe_file(blob, b"wrong")
    with pytest.raises(ModelFileError, match="is not what its hash says"):
        second.sync()
    assert second.holds == {}
    files.pipe_file(blob, b"right")
    assert second.sync() == Sync.PULLED


@pytest.mark.parametrize(
    "manifest",
    [
        b"",
        b"[]",
        b'{"files": {"dock.safetensors": "../../etc/passwd"}, "before": []}',
        json.dumps({"files": {"../evil.safetensors": "0" * 64}, "before": []}).encode(),
        json.dumps({"files": {"dock.lessons/../../evil": "0" * 64}, "before": []}).encode(),
        json.dumps({"files": {"yard.safetensors": "0" * 64}, "before": []}).encode(),
    ],
)
def test_a_manifest_is_read_as_a_strangers(two: tuple[Machine, Machine], url: str, manifest: bytes) -> None:
    files, root = fsspec.core.url_to_fs(url)
    files.makedirs(root, exist_ok=True)
    files.pipe_file(f"{root}/dock.json", manifest)
    with pytest.raises(SharedModelsError, match="shared models"):
        two[0].sync()


def test_the_store_keeps_one_version_before_and_no_more(two: tuple[Machine, Machine], url: str) -> None:
    first, _ = two
    files, root = fsspec.core.url_to_fs(url)
    for version in range(5):
        first.learn(f"version {version}")
        first.sync()
    files.invalidate_cache()
    assert sorted(files.cat_file(path).decode() for path in files.find(f"{root}/dock")) == ["version 3", "version 4"]


class Failing:
    """A store that refuses after so many calls."""

    def __init__(self, files: Any, calls: int) -> None:
        self._files, self._left = files, calls

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._files, name)

        def call(*arguments: Any, **more: Any) -> Any:
            self._left -= 1
            if self._left < 0:
                raise OSError(5, "the network is gone")
            return real(*arguments, **more)

        return call


@pytest.mark.parametrize("calls", range(12))
def test_a_store_that_is_gone_in_between_leaves_a_whole_model_everywhere(
    two: tuple[Machine, Machine], monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    first, second = two
    for name in ("dock.safetensors", "dock.history.jsonl"):
        first.learn("1", name)
    first.sync()
    second.sync()
    for name in ("dock.safetensors", "dock.history.jsonl"):
        first.learn("2", name)
    for machine in two:
        with monkeypatch.context() as patched:
            patched.setattr(machine.models, "_files", Failing(machine.models._files, calls))
            try:
                machine.sync()
            except SharedModelsError:
                assert machine.holds["dock.safetensors"] in "12"
    for machine in (first, second, first, second):
        machine.sync()
    assert first.holds == second.holds == {"dock.safetensors": "2", "dock.history.jsonl": "2"}
    assert not list(second.folder.glob(".*.own"))


def config_of(folder: Path, url: str | None) -> Config:
    cameras = {"dock": {"source": "rtsp://127.0.0.1/dock"}}
    document = {"version": 1, "data_dir": str(folder), "cameras": cameras, "shared_models": url}
    return Config.model_validate(document)


def test_who_cannot_reach_the_store_uses_what_is_here(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a file").write_text("")
    config = config_of(tmp_path, str(tmp_path / "a file" / "store"))
    (tmp_path / "models").mkdir()
    (tmp_path / "models/dock.safetensors").write_text("1")
    assert fetch(config, "dock") == Sync.SAME
    assert "shared models" in caplog.text
    with pytest.raises(SharedModelsError, match="cannot be reached"), shared(config, "dock"):
        pass


def test_where_nothing_is_shared_nothing_happens(tmp_path: Path) -> None:
    with shared(config_of(tmp_path, None), "dock"):
        pass
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("url", ["no-such-kind://bucket/site", "no-such-kind://user:pass-word@host/x"])
def test_a_url_that_cannot_be_opened_is_a_mistake_of_the_configuration(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigError, match="shared_models") as caught:
        SharedModels(url, tmp_path)
    assert "pass-word" not in str(caught.value)


class Machines(RuleBasedStateMachine):
    """Three machines learn and sync in any order; what was learned last, by one that had all, is what all end up with."""

    @initialize()
    def begin(self) -> None:
        MemoryFileSystem.store.clear()
        self.folder = tempfile.TemporaryDirectory()
        self.machines = [Machine(Path(self.folder.name) / str(number), "memory://bucket/machines") for number in range(3)]
        self.learned = 0

    @rule(number=st.integers(0, 2))
    def learn(self, number: int) -> None:
        self.learned += 1
        self.machines[number].learn(f"{self.learned}")

    @rule(number=st.integers(0, 2))
    def sync(self, number: int) -> None:
        self.machines[number].sync()

    @rule(number=st.integers(0, 2))
    def learn_with_all_known(self, number: int) -> None:
        for machine in (*self.machines, self.machines[number]):
            machine.sync()
        self.learn(number)
        self.machines[number].sync()
        for machine in self.machines:
            machine.sync()
        assert {machine.holds["dock.safetensors"] for machine in self.machines} == {f"{self.learned}"}

    @rule(number=st.integers(0, 2))
    def sync_twice(self, number: int) -> None:
        self.machines[number].sync()
        assert self.machines[number].sync() == Sync.SAME

    def teardown(self) -> None:
        self.folder.cleanup()
        MemoryFileSystem.store.clear()


TestMachines = Machines.TestCase
TestMachines.settings = settings(max_examples=25, stateful_step_count=12, deadline=None)
