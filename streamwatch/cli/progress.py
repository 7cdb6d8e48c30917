"""Progress: a bar on a terminal, a quiet line now and then elsewhere. Always on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

_LINE_EVERY_S = 10.0
Advance = Callable[[int], None]


class _Counter:
    """Frames so far, and their rate."""

    def __init__(self) -> None:
        self.frames = 0
        self.began_s = time.monotonic()

    def add(self, frames: int) -> float:
        """Count frames; the rate so far in frames per second."""
        self.frames += frames
        return self.frames / max(time.monotonic() - self.began_s, 1e-3)


@contextmanager
def frame_progress(label: str, total: int | None) -> Iterator[Advance]:
    """A function to call with every number of frames done."""
    if sys.stderr.isatty():
        yield from _bar(label, total)
    else:
        yield from _lines(label, total)


def _bar(label: str, total: int | None) -> Iterator[Advance]:
    counter = _Counter()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("frames  {task.fields[fps]:.1f} fps"),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task: TaskID = progress.add_task(label, total=total, fps=0.0)

        def advance(frames: int) -> None:
            progress.update(task, advance=frames, fps=counter.add(frames))

        yield advance
        progress.update(task, total=counter.frames)


def _lines(label: str, total: int | None) -> Iterator[Advance]:
    counter = _Counter()
    last_line_s = counter.began_s

    def advance(frames: int) -> None:
        nonlocal last_line_s
        fps = counter.add(frames)
        if time.monotonic() - last_line_s >= _LINE_EVERY_S:
            last_line_s = time.monotonic()
            of_total = f" of {total}" if total else ""
            eta = f", ETA {max(total - counter.frames, 0) / fps:.0f} s" if total else ""
            click.echo(f"{label}: {counter.frames}{of_total} frames, {fps:.1f} fps{eta}", err=True)

    yield advance
    elapsed_s = time.monotonic() - counter.began_s
    rate = counter.frames / max(elapsed_s, 1e-3)
    click.echo(f"{label}: {counter.frames} frames in {elapsed_s:.1f} s ({rate:.1f} fps)", err=True)
