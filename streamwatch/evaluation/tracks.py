"""Region and track annotations that a user has: one text file per clip, ``track,frame,left,top,right,bottom`` in pixels."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2

from streamwatch.errors import UsageError
from streamwatch.evaluation.datasets.dataset import Dataset, TestClip
from streamwatch.evaluation.regions import TruthRegion


def tracks_of(folder: Path, dataset: Dataset) -> dict[str, list[list[TruthRegion]]]:
    """Read ``CLIP.txt`` for every labelled clip that has one; frames are counted from 0.

    Raises:
        UsageError: the folder does not exist, holds no file of a clip, or a line cannot be read.
    """
    if not folder.is_dir():
        raise UsageError("no such folder of tracks", where=folder)
    clips = [clip for scene in dataset.scenes for clip in scene.clips if clip.truth is not None]
    found = [clip for clip in clips if (folder / f"{clip.name}.txt").is_file()]
    if not found:
        raise UsageError("no CLIP.txt of any clip", where=folder, hint="name the files like 01_0014.txt")
    return {clip.name: _clip_tracks(folder / f"{clip.name}.txt", clip) for clip in found}


def _size_px(clip: TestClip) -> tuple[int, int]:
    """(width, height) of a clip's pictures: of its masks, or of its first picture."""
    if clip.truth is not None and clip.truth.masks is not None:
        height, width = clip.truth.masks[0].shape
        return width, height
    first = cv2.imread(str(clip.source.segments[0].images[0]))
    if first is None:
        raise UsageError("its first picture is not readable", where=f"clip {clip.name}")
    return first.shape[1], first.shape[0]


def _clip_tracks(path: Path, clip: TestClip) -> list[list[TruthRegion]]:
    frames, size_px = len(clip.truth.labels) if clip.truth else 0, _size_px(clip)
    regions: list[list[TruthRegion]] = [[] for _ in range(frames)]
    width, height = size_px
    with path.open(newline="") as file:
        for number, row in enumerate(csv.reader(file), start=1):
            try:
                track, frame, left, top, right, bottom = (float(v) for v in row)
                box = (left / width, top / height, right / width, bottom / height)
                regions[int(frame)].append(TruthRegion(f"{track:g}", box))
            except (ValueError, IndexError):
                raise UsageError(
                    "not a line of track,frame,left,top,right,bottom within the clip", where=f"{path}:{number}"
                ) from None
    return regions
