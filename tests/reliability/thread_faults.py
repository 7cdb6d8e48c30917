"""A fault in every method of ours that a thread of a running daemon is seen to call, one after the other.

Every method is made to raise once in that thread, as it comes to it: it goes on afterwards, and so do the cameras.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
import re
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

import streamwatch
from benchmarks.site import FEW_DIMS, Site, running_site
from streamwatch.retry import Backoff
from streamwatch.store.event_store import EventQuery, EventStore
from streamwatch.store.sessions import open_database
from tools.receiver import running_receiver

AGAIN_WITHIN_S = 15.0
HAPPENS_WITHIN_S = 3.0
FAULT_TAKES_S = 1.0
"""A camera is opened again after each."""
QUIET_S = 8.0
"""What a thread does not call for so long after the last fault, it calls at the start alone, or once a minute."""
LEFT_OUT = (
    "streamwatch.threads",
    "streamwatch.clock",
    "streamwatch.logs.line_writer",
    "streamwatch.simulator",
    "streamwatch.cli",
    "streamwatch.model.normality.distance_kernel",
)
"""The guard itself; the clock, which it waits by; what is no part of a running daemon, or of one without a GPU."""
LEAKING = ("streamwatch.alerts.deadline._Stream.close", "streamwatch.alerts.deadline._Stream.get_extra_info")
"""What httpcore calls before anything else holds the socket, or to give it up: raised there, a fault leaves it open."""
WAITING = ("streamwatch_queue_length", {"queue": "changes"})


class Arbitrary(Exception):
    """Nobody expects it."""


class Injector:
    """Stands before every method of ours, and raises in one of them when it is armed."""

    def __init__(self) -> None:
        self.seen: dict[str, set[str]] = defaultdict(set)
        self.calls: Counter[str] = Counter()
        self.armed: set[tuple[str, str]] = set()
        self._raised_at_s = 0.0
        self._restore: list[tuple[type, str, FunctionType]] = []

    def called(self, method: str) -> None:
        thread = re.sub(r"_\d+$", "", threading.current_thread().name)
        self.seen[thread].add(method)
        self.calls[thread] += 1
        if (thread, method) in self.armed:
            self.armed.discard((thread, method))
            self._raised_at_s = time.monotonic()
            raise Arbitrary(method)

    def stand_before(self, owner: type, name: str, function: FunctionType) -> None:
        method = f"{owner.__module__}.{function.__qualname__}"
        if method in LEAKING:
            return

        @functools.wraps(function)
        def standing_before(*arguments: Any, **keywords: Any) -> Any:
            self.called(method)
            return function(*arguments, **keywords)

        self._restore.append((owner, name, function))
        setattr(owner, name, standing_before)

    def leave(self) -> None:
        for owner, name, function in self._restore:
            setattr(owner, name, function)

    def inject(self, thread: str, methods: set[str], within_s: float) -> set[str]:
        """Have each of them raise once in the thread; those that it did not call in time."""
        self.armed, self._raised_at_s = {(thread, method) for method in methods}, time.monotonic()
        wait_for(lambda: not self.armed or time.monotonic() - self._raised_at_s > QUIET_S, within_s)
        unheard = {method for _, method in self.armed}
        self.armed = set()
        return unheard


def our_classes() -> Iterator[type]:
    for module_info in pkgutil.walk_packages(streamwatch.__path__, "streamwatch."):
        if module_info.name.startswith(LEFT_OUT) or ".migrations" in module_info.name or module_info.name.endswith("__main__"):
            continue
        module = importlib.import_module(module_info.name)
        for value in list(vars(module).values()):
            if isinstance(value, type) and value.__module__ == module_info.name and not getattr(value, "_is_protocol", False):
                yield value


@pytest.fixture
def injector() -> Iterator[Injector]:
    made = Injector()
    for owner in our_classes():
        for name, value in list(vars(owner).items()):
            if isinstance(value, FunctionType) and not name.startswith("__"):
                made.stand_before(owner, name, value)
    try:
        yield made
    finally:
        made.leave()


def wait_for(condition: Callable[[], bool], within_s: float = AGAIN_WITHIN_S) -> bool:
    until_s = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > until_s:
            return False
        time.sleep(0.01)
    return True


def goes_on(site: Site, injector: Injector, thread: str) -> str:
    """What does not go on after a fault; empty if all does."""
    since_s, calls = time.monotonic(), injector.calls[thread]
    if not wait_for(lambda: injector.calls[thread] > calls):
        return f"{thread} does nothing any more"
    silent = [camera for camera in site.cameras if site.wait_scored(camera, since_s, AGAIN_WITHIN_S) is None]
    return f"not scored any more: {', '.join(silent)}" if silent else ""


def require_going_on(tmp_path: Path, injector: Injector, threads: Sequence[str]) -> None:
    """Whatever each of these threads raises, it comes back and the others go on."""
    with running_receiver() as receiver:
        more = {
            "defaults": {"max_duration": "1s", "min_duration": "0s", "cooldown": "0s", "end_delay": "0s"},
            "alerts": {"webhooks": [{"name": "ops", "url": receiver.url, "events": ["*"], "heartbeat": "1s"}]},
            "clips": {"enabled": True, "pre_roll": "1s", "post_roll": "0s"},
        }
        quickly = Backoff(first_s=0.02, max_s=0.1, reset_after_s=0.5)
        with running_site(tmp_path, 2, fps=4.0, dims=FEW_DIMS, more=more, guard_backoff=quickly) as site:
            document = site.config_path.read_text().replace('"source"', '"threshold": 0.05, "source"')
            site.config_path.write_text(document)  # from now on everything is an event
            wait_for(lambda: all(injector.calls[thread] for thread in threads), 30)
            time.sleep(5)  # what else a thread does now and then
            faults = Counter[str]()
            for thread in threads:
                seen = set(injector.seen[thread])
                # A change that faults keep from being stored is given up at the third: there one at a time.
                for methods in [{method} for method in sorted(seen)] if thread == "publisher" else [seen]:
                    unheard = injector.inject(thread, methods, HAPPENS_WITHIN_S + len(methods) * FAULT_TAKES_S)
                    faults[thread] += len(methods - unheard)
                    assert wait_for(lambda: not site.metrics.registry.get_sample_value(*WAITING)), "changes are not stored"
                problem = goes_on(site, injector, thread)
                assert not problem, f"after faults in all methods of {thread}: {problem}"
                assert faults[thread] >= 0.75 * len(seen), (thread, faults, unheard)
            print(f"\n{sum(faults.values())} faults: {dict(faults)}")
            told = len(receiver.received)
            assert wait_for(lambda: len(receiver.received) > told), "and messages are delivered"
    store = EventStore(open_database(None, tmp_path / "data"))
    assert not store.list_events(EventQuery(state="open")), "every event that was stored has its end"
    store.close()
