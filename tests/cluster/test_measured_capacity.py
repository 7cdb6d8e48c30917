"""What a machine carries is measured once, kept, and measured anew where it may be another."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from streamwatch.cli.bench import command as bench
from streamwatch.cluster.measured_capacity import UNMEASURED_FPS, MeasuredCapacity, bench_arguments
from streamwatch.config.schema import Config

CARRIES = json.dumps({"cameras": 6, "carried": True, "camera": {"fps": 5.0}})


@dataclass
class Bench:
    """A process that says something when it is told to end."""

    said: str
    returncode: int | None = None
    killed: bool = False

    def poll(self) -> int | None:
        return self.returncode

    def communicate(self) -> tuple[str, str | None]:
        return self.said, None

    def kill(self) -> None:
        self.killed = True


@dataclass
class Machine:
    """One on which a bench comes to something."""

    path: Path
    said: str = CARRIES
    begun: list[Bench] = field(default_factory=list)

    def start(self, _arguments: Sequence[str]) -> Bench:
        self.begun.append(Bench(self.said))
        return self.begun[-1]

    def capacity(self, *arguments: str) -> MeasuredCapacity:
        return MeasuredCapacity(self.path, arguments or ("bench",), start=self.start)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "yard.capacity.json")


def test_it_is_measured_once_and_waited_for_by_nobody(machine: Machine) -> None:
    capacity = machine.capacity()
    assert [capacity.now(), capacity.now()] == [None, None]
    machine.begun[0].returncode = 0
    assert [capacity.now(), capacity.now()] == [30.0, 30.0]
    assert machine.capacity().now() == 30.0, "who comes later finds it"
    assert len(machine.begun) == 1


def test_another_question_is_another_measurement(machine: Machine) -> None:
    machine.capacity().now()
    first = machine.capacity()
    first.now()
    machine.begun[1].returncode = 0
    assert first.now() == 30.0
    assert machine.capacity("bench", "--fps", "2").now() is None
    assert len(machine.begun) == 3


@pytest.mark.parametrize(
    "said", ["", "no JSON", "{}", json.dumps({"cameras": 0, "carried": False, "camera": {"fps": 5.0}})], ids=repr
)
def test_a_machine_that_could_not_be_measured_is_used_last_and_measured_no_more(machine: Machine, said: str) -> None:
    machine.said = said
    capacity = machine.capacity()
    capacity.now()
    machine.begun[0].returncode = 1
    assert [capacity.now(), capacity.now()] == [UNMEASURED_FPS, UNMEASURED_FPS]
    assert len(machine.begun) == 1
    assert not machine.path.exists()


def test_nothing_is_measured_beside_a_shard_that_works(machine: Machine) -> None:
    assert machine.capacity().now(busy=True) == UNMEASURED_FPS
    first = machine.capacity()
    first.now()
    machine.begun[0].returncode = 0
    first.now()
    assert machine.capacity("bench", "--fps", "2").now(busy=True) == 30.0, "what was measured last holds"
    assert len(machine.begun) == 1


@pytest.mark.parametrize("kept", ["", "[]", '{"fps": 5}', '{"fps": -1}'])
def test_a_file_that_is_damaged_or_another_machines_is_none(machine: Machine, kept: str) -> None:
    machine.path.write_text(kept)
    assert machine.capacity().now() is None


def test_a_measurement_ends_with_who_asked(machine: Machine) -> None:
    capacity = machine.capacity()
    capacity.now()
    capacity.stop()
    capacity.stop()
    assert machine.begun[0].killed


@pytest.mark.parametrize("fps", [2, "native"])
def test_the_bench_knows_what_it_is_asked(fps: object) -> None:
    config = Config.model_validate(
        {"version": 1, "cameras": {"a": {"source": "a.mp4"}}, "defaults": {"fps": fps}, "precision": "float32"}
    )
    context = bench.make_context("bench", list(bench_arguments(config)[1:]))
    assert context.params["as_json"]
    assert context.params["fps"] == (25.0 if fps == "native" else 2.0)
    assert context.params["precision"] == "float32"
