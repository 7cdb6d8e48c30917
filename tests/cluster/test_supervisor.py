"""The supervisor on shards that are made up: what it gives to whom, in which order."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamwatch.cluster.ray_cluster import slots_of
from streamwatch.cluster.shard_process import ShardState
from streamwatch.cluster.supervisor import DEAD_AFTER, TRIED_AGAIN_AFTER, Supervisor
from streamwatch.config.loading import parse_config
from streamwatch.config.schema import Config
from streamwatch.errors import ConfigError, UsageError

PATH = Path("site.yaml")


def config_of(cameras: Collection[str], fps: float = 5.0) -> Config:
    named = "".join(f"  {name}: {{source: {name}.mp4}}\n" for name in cameras)
    return parse_config(f"version: 1\ndefaults: {{fps: {fps}}}\ncameras:\n{named}", PATH)


class MadeUp:
    """Shards that remember their cameras while nobody answers for them, and never watch one camera twice."""

    def __init__(self, *names: str) -> None:
        self.there: dict[str, float | None] = dict.fromkeys(names, 100.0)
        self.has: dict[str, tuple[str, ...]] = {}
        self.alive = set(names)
        self.most_watching: dict[str, int] = {}

    def capacities(self) -> Mapping[str, float | None]:
        return dict(self.there)

    def give(self, cameras: Mapping[str, Collection[str] | None]) -> Mapping[str, ShardState]:
        for name, mine in cameras.items():
            if mine is not None and name in self.there:
                self.has[name] = tuple(sorted(mine))
                self.alive.add(name)
        for camera in {camera for name in self.alive for camera in self.has.get(name, ())}:
            watching = sum(camera in self.has.get(name, ()) for name in self.alive)
            self.most_watching[camera] = max(watching, self.most_watching.get(camera, 0))
        return {name: self._state(name) for name in cameras if name in self.there}

    def _state(self, name: str) -> ShardState:
        return ShardState(name, 1 if name in self.alive else None, self.has.get(name, ()), 1)

    def gone(self, name: str) -> None:
        del self.there[name]
        self.alive.discard(name)

    def back(self, name: str) -> None:
        """With the file that it had, and no process."""
        self.there[name] = 100.0


class StillBorn(MadeUp):
    """One of them never runs."""

    still_born = "a"

    def give(self, cameras: Mapping[str, Collection[str] | None]) -> Mapping[str, ShardState]:
        states = dict(super().give(cameras))
        self.alive.discard(self.still_born)
        return {name: replace(state, pid=None) if name == self.still_born else state for name, state in states.items()}


class Site:
    def __init__(self, shards: MadeUp, cameras: Collection[str]) -> None:
        self.config: Config | ConfigError = config_of(cameras)
        self.supervisor = Supervisor(PATH, shards, lambda _path: self._load())

    def _load(self) -> Config:
        if isinstance(self.config, ConfigError):
            raise self.config
        return self.config


CAMERAS = [f"cam{number}" for number in range(12)]


def test_every_camera_is_given_once_and_evenly() -> None:
    shards = MadeUp("a", "b", "c")
    Site(shards, CAMERAS).supervisor.run_once()
    assert sorted(camera for mine in shards.has.values() for camera in mine) == sorted(CAMERAS)
    assert {len(mine) for mine in shards.has.values()} == {4}


def test_a_lost_shard_is_taken_over_and_gets_its_part_back_when_it_returns() -> None:
    shards = MadeUp("a", "b", "c")
    site = Site(shards, CAMERAS)
    before = site.supervisor.run_once().placement
    shards.gone("b")
    after = site.supervisor.run_once().placement
    assert set(after.values()) == {"a", "c"}
    assert all(after[camera] == shard for camera, shard in before.items() if shard != "b")
    shards.back("b")
    site.supervisor.run_once()
    assert {len(shards.has[name]) for name in "abc"} == {4}
    assert max(shards.most_watching.values()) == 1, "each camera was taken before it was given"


def test_a_supervisor_that_is_begun_anew_moves_nothing() -> None:
    shards = MadeUp("a", "b", "c")
    before = Site(shards, CAMERAS).supervisor.run_once().placement
    assert Site(shards, CAMERAS).supervisor.run_once().placement == before


def test_who_is_still_measured_watches_nothing_yet() -> None:
    shards = MadeUp("a", "b")
    shards.there["b"] = None
    site = Site(shards, CAMERAS)
    state = site.supervisor.run_once()
    assert (set(state.placement.values()), state.measured) == ({"a"}, frozenset({"b"}))
    shards.there["b"] = 300.0
    state = site.supervisor.run_once()
    assert (len(shards.has["a"]), len(shards.has["b"]), state.measured) == (3, 9, frozenset())


def test_what_is_drained_stays_so_over_the_supervisors_end(tmp_path: Path) -> None:
    shards, kept = MadeUp("a", "b"), tmp_path / "drained.json"
    config = config_of(CAMERAS)
    Supervisor(PATH, shards, lambda _: config, kept).drain("a", on=True)
    again = Supervisor(PATH, shards, lambda _: config, kept)
    assert set(again.run_once().placement.values()) == {"b"}
    again.drain("a", on=False)
    assert set(Supervisor(PATH, shards, lambda _: config, kept).run_once().placement.values()) == {"a", "b"}
    kept.write_text("damaged")
    assert not Supervisor(PATH, shards, lambda _: config, kept).run_once().drained


def test_what_cannot_be_written_down_is_not_drained(tmp_path: Path) -> None:
    config = config_of(CAMERAS)
    supervisor = Supervisor(PATH, MadeUp("a", "b"), lambda _: config, tmp_path / "missing" / "drained.json")
    with pytest.raises(UsageError, match="No such file"):
        supervisor.drain("a", on=True)
    assert not supervisor.run_once().drained


def test_what_is_drained_has_nothing_until_that_is_undone() -> None:
    shards = MadeUp("a", "b")
    site = Site(shards, CAMERAS)
    site.supervisor.run_once()
    site.supervisor.drain("a", on=True)
    state = site.supervisor.run_once()
    assert shards.has["a"] == ()
    assert len(shards.has["b"]) == 12
    assert state.drained == {"a"}
    site.supervisor.drain("a", on=False)
    site.supervisor.run_once()
    assert len(shards.has["a"]) == len(shards.has["b"]) == 6


def test_a_changed_configuration_is_followed_and_a_broken_one_is_not() -> None:
    shards = MadeUp("a", "b")
    site = Site(shards, CAMERAS)
    site.supervisor.run_once()
    site.config = config_of([*CAMERAS[:6], "new"])
    assert site.supervisor.run_once().placement.keys() == {*CAMERAS[:6], "new"}
    site.config = ConfigError("broken", where=PATH)
    state = site.supervisor.run_once()
    assert state.placement.keys() == {*CAMERAS[:6], "new"}
    assert state.problem == "site.yaml: broken"


def test_a_configuration_that_never_could_be_used_is_an_error() -> None:
    site = Site(MadeUp("a"), CAMERAS)
    site.config = ConfigError("broken", where=PATH)
    with pytest.raises(ConfigError):
        site.supervisor.run_once()


def test_more_than_shards_carry_is_told() -> None:
    shards = MadeUp("a")
    shards.there["a"] = 50.0
    assert Site(shards, CAMERAS).supervisor.run_once().over == {"a": 10.0}


def test_a_shard_that_does_not_come_up_is_relieved_and_tried_again_later() -> None:
    shards = StillBorn("a", "b")
    site = Site(shards, CAMERAS)
    for _second in range(DEAD_AFTER + 1):
        site.supervisor.run_once()
    assert len(shards.has["b"]) == 12
    assert shards.has["a"] == ()
    shards.still_born = ""
    for _second in range(TRIED_AGAIN_AFTER):
        site.supervisor.run_once()
    assert len(shards.has["a"]) == len(shards.has["b"]) == 6


@given(st.lists(st.tuples(st.sampled_from(["gone", "back", "drain", "undrain", "die", "restart"]), st.sampled_from("abc"))))
@settings(max_examples=60, deadline=None)
def test_whatever_happens_every_camera_is_somewhere_and_nowhere_twice(happenings: list[tuple[str, str]]) -> None:
    shards = MadeUp("a", "b", "c")
    site = Site(shards, CAMERAS)
    drained: set[str] = set()
    for what, name in happenings:
        if what == "gone" and name in shards.there:
            shards.gone(name)
        elif what == "back" and name not in shards.there:
            shards.back(name)
        elif what == "die":
            shards.alive.discard(name)
        elif what == "restart":
            site = Site(shards, CAMERAS)
            drained = set()
        else:
            drained = drained | {name} if what == "drain" else drained - {name}
            site.supervisor.drain(name, on=name in drained)
        placement = site.supervisor.run_once().placement
        usable = shards.there.keys() - drained
        assert placement.keys() == (set(CAMERAS) if usable else set())
        assert set(placement.values()) <= usable
        for shard in shards.there:
            assert set(shards.has.get(shard, ())) == {camera for camera, mine in placement.items() if mine == shard}
    assert max(shards.most_watching.values(), default=0) <= 1


def node(name: str, number: int, *, gpus: int = 0, alive: bool = True) -> dict[str, object]:
    resources = {"CPU": 8.0, **({"GPU": float(gpus)} if gpus else {})}
    return {
        "NodeName": name,
        "NodeID": f"{number:08d}" + 48 * "0",
        "Alive": alive,
        "Resources": resources,
        "NodeManagerAddress": "x",
    }


def test_there_is_a_slot_for_each_gpu_and_one_for_a_node_without() -> None:
    slots = slots_of([node("front", 1), node("big one", 2, gpus=2), node("gone", 3, alive=False)], None)
    assert [(slot.name, slot.gpus, slot.capacity) for slot in slots] == [
        ("front", 0.0, 8.0),
        ("big-one-gpu0", 1.0, 4.0),
        ("big-one-gpu1", 1.0, 4.0),
    ]


def test_nodes_of_one_name_are_told_apart() -> None:
    assert len({slot.name for slot in slots_of([node("same", 1), node("same", 2)], 50.0)}) == 2
