"""How a moment of footage is named: a file, folder or camera, and seconds into it; and what of it is left out."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from streamwatch.config.units import parse_duration_s
from streamwatch.errors import UsageError
from streamwatch.video.sources import Source

AROUND_S = 1.0
"""Levels rise and fall late: the filter over time is causal, and rises from nothing."""
_RANGE = re.compile(r"^(?:(?P<name>.+)@)?(?P<start>[^@-]+)-(?P<end>[^@-]+)$")


@dataclass(frozen=True, slots=True)
class SourcePosition:
    """A moment of footage as people name it: a file, folder or camera, and seconds into it."""

    label: str
    time_s: float


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A stretch of footage that is not to be learned; ``name`` is the end of a label, empty for the only one."""

    name: str
    start_s: float
    end_s: float

    def __str__(self) -> str:
        return f"{self.name}{'@' if self.name else ''}{self.start_s:g}s-{self.end_s:g}s"

    def covers(self, position: SourcePosition) -> bool:
        """Whether a moment lies in it."""
        return self.names(position.label) and self.start_s <= position.time_s <= self.end_s

    def names(self, label: str) -> bool:
        """Whether it is of this file, folder or camera."""
        mine, its = PurePath(self.name).parts, PurePath(label).parts
        return its[len(its) - len(mine) :] == mine


class SegmentIndex:
    """Where each file or folder begins on the time line.

    Args:
        begins: (seconds, label) in order.
    """

    def __init__(self, begins: Sequence[tuple[float, str]] = ()) -> None:
        self.begins = list(begins)

    def add(self, at_s: float, label: str) -> None:
        """Another one begins."""
        self.begins.append((at_s, label))

    def exclusion_of(self, start_s: float, end_s: float) -> Exclusion:
        """A stretch of the time line as an exclusion, with a second before and after."""
        position = self.position_of(start_s)
        labels = [label for _, label in self.begins]
        short = PurePath(position.label).name
        same = sum(PurePath(label).name == short for label in labels)
        name = "" if len(labels) == 1 else short if same == 1 else position.label
        begin_s = max(position.time_s - AROUND_S, 0.0)
        return Exclusion(name, round(begin_s, 1), round(position.time_s + end_s - start_s + AROUND_S, 1))

    def position_of(self, at_s: float) -> SourcePosition:
        """The moment that lies at ``at_s`` on the time line."""
        begin_s, label = self.begins[max(bisect_right(self.begins, at_s, key=lambda cut: cut[0]) - 1, 0)]
        return SourcePosition(label, at_s - begin_s)


def parse_exclusion(text: str) -> Exclusion:
    """``190s-220s``, or ``monday.mp4@3m-3.5m`` where there is more than one file.

    Raises:
        UsageError: it is not of this form.
    """
    match = _RANGE.match(text.strip())
    spans = match.group("start", "end") if match else ("", "")
    try:
        start_s, end_s = (parse_duration_s(span.strip()) for span in spans)
    except ValueError:
        raise UsageError(f"cannot exclude {text!r}", hint="write [FILE@]START-END, like monday.mp4@190s-220s") from None
    if end_s < start_s:
        raise UsageError(f"cannot exclude {text!r}: it ends before it begins")
    return Exclusion((match["name"] if match else "") or "", start_s, end_s)


def require_known(exclusions: Sequence[Exclusion], sources: Sequence[Source]) -> None:
    """Check that every exclusion means one file, folder or camera of the footage.

    Raises:
        UsageError: one means none, or more than one.
    """
    labels = [segment.label for source in sources for segment in source.segments]
    for exclusion in exclusions:
        meant = [label for label in labels if exclusion.names(label)]
        if len(meant) != 1:
            raise UsageError(
                f"cannot exclude {exclusion}: it means {len(meant)} of {len(labels)} files",
                hint="name one with FILE@START-END; with more of its path if two have the same name",
            )
