"""Of several processes one watches a camera, and what another still writes of it is refused."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import StaticPool

from streamwatch.errors import LeaseLost
from streamwatch.store.processes.leases import CameraLeases, all_leases, require_token
from streamwatch.store.sessions import writing
from streamwatch.store.tables import metadata
from tests.databases import OpenDatabase
from tests.test_retry import FakeClock

LASTS_S = 15.0
ENDS_AT_ONCE_S = 0.0
CAMERAS = ("dock", "gate", "yard")


@pytest.fixture
def opened(open_store_database: OpenDatabase) -> Iterator[OpenDatabase]:
    """Opens the test's database as another process would, and closes all at the end."""
    engines = list[Engine]()

    def another() -> Engine:
        engines.append(open_store_database())
        return engines[-1]

    yield another
    for engine in engines:
        engine.dispose()


def leases_of(engine: Engine, holder: str, lasts_s: float = LASTS_S, clock: FakeClock | None = None) -> CameraLeases:
    return CameraLeases(engine, holder, clock=clock or FakeClock(), lasts_s=lasts_s)


def may_write(engine: Engine, camera: str, token: int) -> bool:
    try:
        with writing(engine, "an event could not be written") as connection:
            require_token(connection, camera, token)
    except LeaseLost:
        return False
    return True


def test_one_of_two_holds_a_camera_until_it_gives_it_back(opened: OpenDatabase) -> None:
    first, second = (leases_of(opened(), name) for name in ("north", "south"))
    assert first.hold(["dock", "yard"]) == {"dock": 1, "yard": 1}
    assert second.hold(["dock", "gate"]) == {"gate": 1}
    assert first.hold(["yard"]) == {"yard": 1}
    assert second.hold(["dock", "gate", "yard"]) == {"dock": 2, "gate": 1}
    first.release()
    assert second.hold(["dock", "gate", "yard"]) == {"dock": 2, "gate": 1, "yard": 2}
    assert {lease.camera: lease.holder for lease in all_leases(opened())} == dict.fromkeys(CAMERAS, "south")


def test_a_lease_ends_by_itself_and_what_its_holder_writes_after_that_is_refused(opened: OpenDatabase) -> None:
    engine = opened()
    slow, quick = leases_of(engine, "north", ENDS_AT_ONCE_S), leases_of(opened(), "south")
    slow.hold(["dock"])
    assert slow.hold(["dock"]) == {"dock": 1}, "it has ended, and nobody has taken it"
    assert may_write(engine, "dock", 1)
    assert quick.hold(["dock"]) == {"dock": 2}
    assert not may_write(engine, "dock", 1)
    assert may_write(engine, "dock", 2)
    assert slow.hold(["dock"]) == {}
    slow.release()
    assert quick.hold(["dock"]) == {"dock": 2}, "who has lost it cannot give it back"


def test_a_process_that_is_started_again_need_not_wait_for_itself(opened: OpenDatabase) -> None:
    killed = leases_of(opened(), "north")
    killed.hold(["dock"])
    again = leases_of(opened(), "north")
    assert again.hold(["dock"]) == {"dock": 2}
    assert killed.hold(["dock"]) == {}, "of two that have one name by mistake the later one watches, and goes on to"
    assert again.hold(["dock"]) == {"dock": 2}


def test_of_processes_that_begin_at_once_each_camera_has_one(opened: OpenDatabase) -> None:
    cameras = [f"cam{number}" for number in range(600)]
    with ThreadPoolExecutor(4) as pool:
        begun = [leases_of(opened(), f"process {number}") for number in range(4)]
        held = list(pool.map(lambda leases: leases.hold(cameras), begun))
    assert sorted(camera for mine in held for camera in mine) == sorted(cameras)


def test_nobody_takes_a_lease_while_its_holder_writes(opened: OpenDatabase) -> None:
    engine, order = opened(), list[str]()
    slow, quick = leases_of(engine, "north", ENDS_AT_ONCE_S), leases_of(opened(), "south")
    slow.hold(["dock", "gate"])
    with ThreadPoolExecutor(1) as pool:
        with writing(engine, "an event could not be written") as connection:
            connection.exec_driver_sql("UPDATE camera_leases SET holder = holder WHERE camera = 'gate'")  # what it writes
            require_token(connection, "dock", 1)
            taken = pool.submit(quick.hold, ["dock"])
            taken.add_done_callback(lambda _: order.append("taken"))
            for _ in range(20):  # it waits for the lock, and is given time to fail at it
                assert not taken.done()
                connection.exec_driver_sql("SELECT 1")
            order.append("written")
        assert taken.result(timeout=30) == {"dock": 2}
    assert order == ["written", "taken"]


@dataclass
class Process:
    """One that watches, and what it believes."""

    leases: CameraLeases
    tokens: dict[str, int] = field(default_factory=dict)


class Site(RuleBasedStateMachine):
    """Three processes that take, lose, give back, die and are started again, on one database whose time passes."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.engine = create_engine("sqlite://", poolclass=StaticPool)
        metadata.create_all(self.engine)
        self.processes = [self.begun(number) for number in range(3)]
        self.written: dict[str, int] = {}
        self.tokens: dict[str, int] = {}

    def begun(self, number: int) -> Process:
        return Process(leases_of(self.engine, f"process {number}", LASTS_S, self.clock))

    @rule(number=st.integers(0, 2), cameras=st.sets(st.sampled_from(CAMERAS)))
    def hold(self, number: int, cameras: set[str]) -> None:
        process = self.processes[number]
        process.tokens = dict(process.leases.hold(cameras))
        assert process.tokens.keys() <= cameras

    @rule(number=st.integers(0, 2))
    def is_killed_and_begins_again(self, number: int) -> None:
        self.processes[number] = self.begun(number)

    @rule(passed_s=st.sampled_from([1.0, LASTS_S / 2, LASTS_S]))
    def time_passes(self, passed_s: float) -> None:
        self.clock.now_s += passed_s

    @precondition(lambda self: any(process.tokens for process in self.processes))
    @rule(data=st.data())
    def write(self, data: st.DataObject) -> None:
        known = [(camera, token) for process in self.processes for camera, token in process.tokens.items()]
        camera, token = data.draw(st.sampled_from(known))
        if may_write(self.engine, camera, token):
            assert token >= self.written.get(camera, 0), "nothing of an older holder comes after what a newer one wrote"
            self.written[camera] = token

    @invariant()
    def one_may_write_of_a_camera_and_tokens_only_grow(self) -> None:
        rows = {lease.camera: lease for lease in all_leases(self.engine)}
        for camera, lease in rows.items():
            assert lease.token >= self.tokens.get(camera, 0)
            self.tokens[camera] = lease.token
            assert sum(process.tokens.get(camera) == lease.token for process in self.processes) <= 1


TestSite = Site.TestCase
TestSite.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
