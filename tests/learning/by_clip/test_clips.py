"""Which frames are learned and held out, known from the number of frames alone, beside what a single process finds out."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamwatch.evaluation.scene_run import thinned
from streamwatch.learning.by_clip.clips import Selection, clips_of, segments_of
from streamwatch.model.batches import FrameBatch
from streamwatch.model.holdout import HoldOut
from streamwatch.video.sources import Segment, Source


def held_by_one_process(frames: int) -> set[int]:
    """Numbers of the frames that ``HoldOut`` ends up with; each frame's picture is its number."""
    numbers = torch.arange(frames, dtype=torch.int64)
    batch = FrameBatch(numbers.reshape(-1, 1, 1, 1), torch.zeros(frames, 1, 1), numbers.double())
    held_out = HoldOut()
    for _learned in held_out.split([batch]):
        pass
    return {int(number) for block in held_out.held() for number in block.pixels.flatten()}


@given(frames=st.integers(32, 4000))
@settings(max_examples=60, deadline=None)
def test_the_same_frames_are_held_out_as_by_one_process(frames: int) -> None:
    selection = Selection(frames)
    held = {number for number in range(frames) if selection.held_block(number) is not None}
    assert held == held_by_one_process(frames)


@given(frames=st.integers(1, 500), wanted=st.integers(1, 500))
@settings(max_examples=100, deadline=None)
def test_the_same_frames_are_taken_as_by_one_process(frames: int, wanted: int) -> None:
    selection = Selection(frames, wanted)
    places = [selection.place_of(number) for number in range(frames)]
    taken = [number for number, place in enumerate(places) if place is not None]
    assert taken == list(thinned(iter(range(frames)), frames, wanted))  # type: ignore[arg-type]
    assert [place for place in places if place is not None] == list(range(selection.learned))


@given(counts=st.lists(st.integers(0, 200), min_size=1, max_size=8), wanted=st.none() | st.integers(1, 400))
@settings(max_examples=100, deadline=None)
def test_known_after_a_clip_is_what_was_learned_and_not_held_out(counts: list[int], wanted: int | None) -> None:
    segments = tuple(Segment("video", f"{number}.mp4") for number in range(len(counts)))
    selection = Selection(sum(counts), wanted)
    known = 0
    for clip in clips_of([Source("all", segments)], counts):
        places = [selection.place_of(clip.first + number) for number in range(clip.frames)]
        known += sum(place is not None and selection.held_block(place) is None for place in places)
        assert abs(selection.known_after(clip) - known) <= 16  # a block that two clips share is of neither until it is whole


def test_a_segment_is_a_source_that_any_worker_finds_and_remarks_are_told_once() -> None:
    source = Source("folder", (Segment("video", "a.mp4"), Segment("video", "b.mp4")), remarks=("c.txt: left out",))
    first, second = segments_of([source])
    assert (first.label, first.remarks) == ("a.mp4", ("c.txt: left out",))
    assert (second.label, second.remarks) == ("b.mp4", ())
    assert first.segments[0].location.startswith("/")
    assert first.segments[0].location.endswith("a.mp4")
