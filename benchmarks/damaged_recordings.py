"""Recordings that are damaged in every way: what is read of them, and whether anything of it is wrong.

python -m benchmarks.damaged_recordings [--files 500]

A smooth scene in which everything moves is written in every container and codec that we claim, then damaged: bits flipped, the
end cut off, packets left out or exchanged. Every picture that is read is compared with what the scene was at its time.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np

from benchmarks.results import Figure, record
from streamwatch.clock import SystemClock
from streamwatch.errors import StreamwatchError
from streamwatch.records import Frame, UInt8Array
from streamwatch.retry import caught
from streamwatch.video.reader import FrameReader
from streamwatch.video.sources import parse_source
from streamwatch.video.streams.opener import PyAvOpener

RATE_HZ, COUNT, KEY_EVERY = 10, 40, 10
CODECS = {"h264": "libx264", "hevc": "libx265", "mpeg4": "mpeg4", "mjpeg": "mjpeg"}
_X = f"keyint={KEY_EVERY}:min-keyint={KEY_EVERY}:scenecut=0:bframes=0"
OPTIONS: dict[str, dict[str, str]] = {
    "h264": {"x264-params": _X},
    "hevc": {"x265-params": _X},
    "mpeg4": {"g": str(KEY_EVERY), "qscale": "3"},
    "mjpeg": {"qscale": "3"},
}
CONTAINERS = ("mp4", "mov", "mkv", "avi", "ts", "raw")
NO_SUCH = {("hevc", "avi")}
GREY_LEVELS = 24
"""More than coding changes of a smooth scene, and less than a smear of another picture."""
PictureOf = Callable[[int], UInt8Array]


def scene(number: int) -> UInt8Array:
    """(96, 128, 3): a smooth picture in which everything moves, so that what is concealed is wrong."""
    y, x = np.mgrid[:96, :128]
    waves = 128 + 100 * np.sin((x + 7 * number) / 9.0) * np.cos((y - 4 * number) / 13.0)
    return np.repeat(waves.astype(np.uint8)[..., None], 3, axis=2)


def encoded(stream: Any, picture_of: PictureOf = scene, count: int = COUNT) -> Iterator[av.Packet[Any]]:
    """A scene's packets; the stream is a container's, and made ready here."""
    stream.height, stream.width = picture_of(0).shape[:2]
    stream.pix_fmt = "yuvj420p" if stream.codec_context.name == "mjpeg" else "yuv420p"
    stream.codec_context.thread_count = 1
    for number in range(count):
        frame = av.VideoFrame.from_ndarray(picture_of(number), format="rgb24").reformat(format=stream.pix_fmt)
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _as_they_are(packets: list[Any]) -> list[Any]:
    return packets


def write(
    path: Path,
    codec: str,
    order: Callable[[list[Any]], list[Any]] = _as_they_are,
    *,
    picture_of: PictureOf = scene,
    count: int = COUNT,
) -> None:
    """A scene in a container by the path's suffix; ``order`` leaves packets out, or exchanges their contents."""
    form = {"raw": {"h264": "h264", "hevc": "hevc", "mpeg4": "m4v", "mjpeg": "mjpeg"}[codec]}.get(path.suffix[1:])
    with av.open(str(path), "w", format=form) as container:
        stream = container.add_stream(CODECS[codec], rate=RATE_HZ, options=OPTIONS[codec])
        for packet in order(list(encoded(stream, picture_of, count))):
            container.mux(packet)


@dataclass(frozen=True)
class Damage:
    """One way to damage a recording: of its packets, or of its bytes."""

    name: str
    of_packets: Callable[..., list[Any]] | None = None
    of_bytes: Callable[[bytes, np.random.Generator], bytes] | None = None


def _flipped(content: bytes, random: np.random.Generator) -> bytes:
    changed = bytearray(content)
    for at in random.integers(len(changed) // 8, len(changed), 12):
        changed[at] ^= 1 << int(random.integers(8))
    return bytes(changed)


def _truncated(content: bytes, random: np.random.Generator) -> bytes:
    return content[: int(len(content) * random.uniform(0.3, 0.98))]


def _dropped(packets: list[Any], random: np.random.Generator) -> list[Any]:
    gone = set(random.integers(1, len(packets), 3).tolist())
    return [packet for number, packet in enumerate(packets) if number not in gone]


def _exchanged(packets: list[Any], random: np.random.Generator) -> list[Any]:
    at = int(random.integers(1, len(packets) - 1))
    first, second = packets[at], packets[at + 1]
    times = (first.pts, first.dts, second.pts, second.dts)
    second.pts, second.dts, first.pts, first.dts = times
    return [*packets[:at], second, first, *packets[at + 2 :]]


DAMAGES = (
    Damage("bits flipped", of_bytes=_flipped),
    Damage("cut off", of_bytes=_truncated),
    Damage("packets left out", of_packets=_dropped),
    Damage("packets exchanged", of_packets=_exchanged),
)


@dataclass(frozen=True)
class Outcome:
    """What reading one damaged recording came to."""

    codec: str
    container: str
    damage: str
    refused: bool = False
    fault: str = ""
    frames: int = 0
    wrong: int = 0
    longest_wrong: int = 0
    disordered: bool = False
    beyond: bool = False


def frames_of(path: Path) -> Iterator[Frame]:
    """What is read of a recording; raises what reading it raises."""
    reader = FrameReader("cam", parse_source(str(path), frame_rate_hz=RATE_HZ), opener=PyAvOpener(), clock=SystemClock())
    yield from reader.frames()


def read(path: Path, told: Outcome) -> Outcome:
    """Read it and compare."""
    frames: list[Frame] = []
    failure = caught(lambda: frames.extend(frames_of(path)))
    if isinstance(failure, StreamwatchError):
        return replace(told, refused=True)
    if failure is not None:
        return replace(told, fault=f"{failure.__class__.__name__}: {failure}")
    # A raw stream has no times: after a picture that was left out, all that follow are counted too early.
    within = COUNT if told.container == "raw" else 1
    wrong = [differs(frame, within) for frame in frames]
    runs = [len(run) for run in "".join("x" if one else " " for one in wrong).split()]
    times_s = [frame.time_s for frame in frames]
    return replace(
        told,
        frames=len(frames),
        wrong=sum(wrong),
        longest_wrong=max(runs, default=0),
        disordered=any(b <= a for a, b in pairwise(times_s)),
        beyond=bool(times_s) and times_s[-1] > declared_s(path) + 1.0,
    )


def differs(frame: Frame, within: int = 0) -> bool:
    """Whether a picture is not what the scene was then, or so many steps before or after."""
    number = round(frame.time_s * RATE_HZ)
    return all(_difference(frame, near) > GREY_LEVELS for near in range(number - within, number + within + 1))


def _difference(frame: Frame, number: int) -> float:
    expected = av.VideoFrame.from_ndarray(scene(number), format="rgb24").reformat(width=256, height=256)
    return float(np.median(np.abs(expected.to_ndarray(format="rgb24").astype(int) - frame.pixels.astype(int))))


def declared_s(path: Path) -> float:
    """How long a player says that it is, and no less than what was written."""
    with av.open(str(path), metadata_errors="replace") as container:
        stream = container.streams.video[0]
        own_s = float((stream.duration or 0) * (stream.time_base or 0))
        return max((container.duration or 0) / av.time_base, own_s, COUNT / RATE_HZ)


def forms() -> list[tuple[str, str, Damage]]:
    """Every codec, container and damage that there is."""
    pairs = [(codec, container) for codec in CODECS for container in CONTAINERS if (codec, container) not in NO_SUCH]
    return [(codec, container, damage) for damage in DAMAGES for codec, container in pairs]


def write_damaged(folder: Path, seed: int, picture_of: PictureOf = scene) -> tuple[Path, Outcome]:
    """One damaged recording, and what it is: in turn of codec, container and damage, each with a seed of its own."""
    codec, container, damage = (kinds := forms())[seed % len(kinds)]
    random, path = np.random.default_rng(seed), folder / f"{seed}.{container}"
    order = partial(damage.of_packets, random=random) if damage.of_packets else _as_they_are
    write(path, codec, order, picture_of=picture_of)
    if damage.of_bytes is not None:
        path.write_bytes(damage.of_bytes(path.read_bytes(), random))
    return path, Outcome(codec, container, damage.name)


def outcomes(files: int, folder: Path) -> Iterator[Outcome]:
    """What each damaged recording comes to."""
    for seed in range(files):
        path, told = write_damaged(folder, seed)
        yield read(path, told)
        path.unlink()


def quieten() -> None:
    """x265 says its settings on standard error for every file."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def main() -> None:
    """Run, print a line per damage and what is wrong, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=500)
    arguments = parser.parse_args()
    quieten()
    with tempfile.TemporaryDirectory() as name:
        found = list(outcomes(arguments.files, Path(name)))
    for one in found:
        if one.fault or one.disordered or one.beyond or one.longest_wrong > 1:
            print(one)
    print(Counter(one.damage for one in found if one.refused), "refused as a whole")
    totals = {
        "Internal faults": sum(bool(one.fault) for one in found),
        "Times that do not increase, or beyond the player's duration": sum(one.disordered or one.beyond for one in found),
        "Recordings with a wrong picture": sum(one.wrong > 0 for one in found),
        "Recordings with wrong pictures in a row": sum(one.longest_wrong > 1 for one in found),
    }
    figures = [Figure(what, f"{count} of {len(found)}") for what, count in totals.items()]
    frames, wrong = sum(one.frames for one in found), sum(one.wrong for one in found)
    record(
        "damaged_recordings", "Damaged recordings", [*figures, Figure("Wrong pictures", f"{wrong} of {frames} that were read")]
    )
    for figure in figures:
        print(f"{figure.what}: {figure.value}")


if __name__ == "__main__":
    main()
