"""The queue before the disk: in order, bounded, pictures given up oldest first, and lossless where it is asked for."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamwatch.evidence.collector import EventEvidence
from streamwatch.evidence.queue import MAX_WITH_PICTURES, EvidenceQueue, Job
from streamwatch.records import Frame
from tests.scores import frame_score
from tests.store.test_event_store import event

FRAME = Frame("cam", 0, 0.0, 0.0, 0.0, np.zeros((256, 256, 3), np.uint8))
GRID = np.zeros((64, 64), np.float32)
SCORED = frame_score(FRAME, GRID, 1.0)
KINDS = ("pictured", "plain", "normal")


def job_of(kind: str, number: int) -> Job:
    if kind == "normal":
        return replace(FRAME, index=number)
    return EventEvidence(replace(event(), id=str(number)), start=SCORED if kind == "pictured" else None)


def drained(queue: EvidenceQueue) -> list[Job]:
    queue.close()
    return list(iter(queue.take, None))


@given(st.lists(st.sampled_from(KINDS), max_size=4 * MAX_WITH_PICTURES))
def test_events_stay_in_order_and_the_newest_keep_their_pictures(kinds: list[str]) -> None:
    queue = EvidenceQueue()
    given_up = sum(queue.put(job_of(kind, number)) for number, kind in enumerate(kinds))
    left = drained(queue)
    events = [int(job.event.id) for job in left if isinstance(job, EventEvidence)]
    assert events == [number for number, kind in enumerate(kinds) if kind != "normal"]
    pictured = [number for number, kind in enumerate(kinds) if kind != "plain"]
    held = [
        job.index if isinstance(job, Frame) else int(job.event.id)
        for job in left
        if isinstance(job, Frame) or job.holds_pictures
    ]
    assert held == pictured[-MAX_WITH_PICTURES:]
    lost = pictured[: len(pictured) - len(held)]
    assert given_up == sum(kinds[number] == "pictured" for number in lost)


def test_a_lossless_queue_makes_who_puts_wait_and_lets_them_go_when_it_closes() -> None:
    queue = EvidenceQueue(lossless=True)
    queue.open()
    for number in range(MAX_WITH_PICTURES):
        assert queue.put(job_of("pictured", number)) == 0
    put = threading.Thread(target=lambda: queue.put(job_of("plain", MAX_WITH_PICTURES)))
    put.start()
    assert queue.take() is not None
    put.join(10)
    assert not put.is_alive()
    assert len(queue) == MAX_WITH_PICTURES
    late = threading.Thread(target=lambda: queue.put(job_of("plain", MAX_WITH_PICTURES + 1)))
    late.start()
    queue.close()
    late.join(10)
    assert not late.is_alive()
    assert len(drained(queue)) == MAX_WITH_PICTURES + 1
