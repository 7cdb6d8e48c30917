"""How fast each part of the picture moves: dense optical flow against the picture about 200 ms earlier.

Flow is DIS (Kroeger et al. 2016, "Fast Optical Flow using Dense Inverse Search") on the grey model input. Its finest
scale is a half, so that its 8-pixel patches cover 16 pixels of the input, about a walker; at the library's "fast" preset
they cover 32, and a cyclist among walkers is averaged away (tests/video/test_optical_flow.py measures both on known motion).
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from streamwatch.records import SPEED_GRID, Float32Array, UInt8Array
from streamwatch.video.scaling import InputPicture

DEFAULT_STEP_S = 0.2
_YOUNGEST, OLDEST_STEPS = 0.45, 1.75
"""A picture is a valid earlier one if its age is within these multiples of the step."""
_SPACING = 0.25
"""Pictures that are not scored are remembered only if they are this share of a step apart."""
_SAME_PLACE_CORRELATION = 0.5
_SHAKE_PX = 0.4
_SHAKE_AGREEMENT = 0.5
_THUMBNAIL = (32, 32)
_NEAR_CELLS = 8
"""How far a thing may have come since the measurement before: 32 pixels of the input, in a step of 200 ms 160 px/s."""
_INDEPENDENT = 0.9
"""Two measurements share no moment in which something may have jumped if they are this share of a step apart."""
_NO_GUESS = np.zeros((1, 1, 2), np.float32)  # of another size than the picture: DIS starts from rest

_MOVES_PX_S = 5.0
"""Slower is the estimator's own noise (``model.scoring.motion_field``)."""
_JUMP = 1.5
_NEARBY = np.ones((2 * _NEAR_CELLS + 1,) * 2, np.uint8)

Flow = npt.NDArray[np.float32]
"""(256, 256, 2): where each pixel was in the earlier picture, relative to now."""


def flow_estimator() -> cv2.DISOpticalFlow:
    """DIS with patches of 8 pixels every 4 at half resolution, and two rounds of variational refinement."""
    estimator = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    estimator.setFinestScale(1)
    estimator.setGradientDescentIterations(25)
    estimator.setVariationalRefinementIterations(2)
    return estimator


def same_place(now: UInt8Array, before: UInt8Array) -> bool:
    """Whether two grey pictures show the same place: thumbnails correlate, whatever the light. False after a cut."""
    a, b = (cv2.resize(p, _THUMBNAIL, interpolation=cv2.INTER_AREA).astype(np.float32) for p in (now, before))
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.linalg.norm(a) * np.linalg.norm(b))
    if norm < 1.0:  # both without any feature: nothing moves that could be seen
        return bool(np.linalg.norm(a) < 1.0 and np.linalg.norm(b) < 1.0)
    return float((a * b).sum()) / norm >= _SAME_PLACE_CORRELATION


def common_shift(flow: Flow, now: UInt8Array) -> tuple[float, float] | None:
    """The translation of the whole picture, (x, y) in pixels; None if there is none to speak of.

    It is the median flow of the better-textured half of all cells, if at least half of those agree with it: then it
    is the camera that moved.
    """
    cells = _cell_means(flow)
    texture = _texture(now)
    textured = cells[texture >= np.median(texture)]
    shift = np.median(textured, axis=0)
    length = float(np.hypot(*shift))
    agree = np.linalg.norm(textured - shift, axis=1) < max(0.5, 0.25 * length)
    if length < _SHAKE_PX or float(agree.mean()) < _SHAKE_AGREEMENT:
        return None
    return float(shift[0]), float(shift[1])


def shifted(picture: UInt8Array, shift: tuple[float, float]) -> UInt8Array:
    """``picture`` sampled ``shift`` further on, edges repeated."""
    matrix = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], dtype=np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = (picture.shape[1], picture.shape[0])
    moved = cv2.warpAffine(picture, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, dtype=np.uint8)


def lengths(flow: Flow) -> Float32Array:
    """(H, W) lengths of (H, W, 2) vectors.

    Not by OpenCV's magnitude: its last bit depends on where in memory the vectors lie (5.0 with AVX-512: 2 values of 65,536),
    so that the same file, read twice, had other scores now and then.
    """
    x, y = flow[..., 0], flow[..., 1]
    return np.asarray(np.sqrt(x * x + y * y), dtype=np.float32)


def _cell_means(flow: Flow) -> Flow:
    """(256, 256) or (256, 256, 2) to the 64x64 grid; area interpolation by a whole factor is the mean."""
    return np.asarray(cv2.resize(flow, (SPEED_GRID, SPEED_GRID), interpolation=cv2.INTER_AREA), dtype=np.float32)


def _texture(grey: UInt8Array) -> Float32Array:
    """(64, 64) standard deviation of the grey levels within each cell."""
    level = grey.astype(np.float32)
    return np.asarray(np.sqrt(np.maximum(_cell_means(level * level) - _cell_means(level) ** 2, 0)), dtype=np.float32)


def agreed(now: Float32Array, before: Float32Array) -> Float32Array:
    """(h, w) speed that two measurements one after the other agree on, where the picture has jumped.

    Where a recording lacks pictures without saying so, or one of them is displaced, everything that moves has jumped, and for
    one step all of it seems fast: half of all moving cells are half as fast again as anything near them was. Then nothing
    counts for more than what was near it before. One thing among others that begins to be fast is no jump.
    """
    near = np.asarray(cv2.dilate(before, _NEARBY), dtype=np.float32)
    moving = now > _MOVES_PX_S
    jumped = bool(moving.any()) and float(np.median(now[moving] / np.maximum(near[moving], _MOVES_PX_S))) > _JUMP
    return np.minimum(now, near) if jumped else now


@dataclass(frozen=True)
class _Past:
    """A picture of the last moments."""

    time_s: float
    picture: InputPicture


@dataclass(frozen=True)
class DueSpeed:
    """A frame's picture and what it may be compared with: a speed that is still to be measured.

    Attributes:
        before: the earlier picture of the age nearest to the step, and the youngest that is old enough, should there have
            been a cut between them.
        independent: the youngest one before that shares no moment with it, to be measured, too, if nobody asked for it; that
            one's own is forgotten.
    """

    estimator: MotionEstimator
    now: _Past
    before: tuple[_Past, ...]
    independent: DueSpeed | None = None

    @property
    def time_s(self) -> float:
        """Of the frame."""
        return self.now.time_s

    def measure(self) -> Float32Array | None:
        """See ``MotionEstimator.speed``."""
        return self.estimator.measure(self)


def _show_one_place(now: _Past, before: _Past) -> bool:
    return same_place(now.picture.grey(), before.picture.grey())


class MotionEstimator:
    """Measures speed along one stream; a new one after every cut.

    What pictures are compared is chosen as they come (``due``). What costs, which is scaling them and the flow between them,
    may be done later and by another thread, and need not be done for a frame that is never scored.

    Args:
        step_s: age of the picture to compare with; the nearest one that there is, is taken, and its true age counts.
    """

    def __init__(self, step_s: float = DEFAULT_STEP_S) -> None:
        self._step_s = step_s
        self._flow = flow_estimator()
        self._past: deque[_Past] = deque()
        self._measured: deque[tuple[float, Float32Array]] = deque()
        self._due: deque[DueSpeed] = deque()
        self._place_since_s = float("-inf")
        self._measuring = threading.Lock()

    def remember(self, picture: InputPicture, time_s: float) -> None:
        """Note a picture that is not scored itself: one to be scored may need it."""
        if not self._past or time_s - self._past[-1].time_s >= _SPACING * self._step_s:
            self._past.append(_Past(time_s, picture))
            self._forget(time_s)

    def speed(self, picture: InputPicture, time_s: float) -> Float32Array | None:
        """Speed of a frame that is scored.

        Returns:
            (64, 64) mean speed per cell in pixels of the model's input per second, the camera's own shaking removed, and of
            a picture in which all has jumped only what ``agreed``; None where no picture of the right age shows the same place.
        """
        due = self.due(picture, time_s)
        return due.measure() if due else None

    def due(self, picture: InputPicture, time_s: float) -> DueSpeed | None:
        """What ``speed`` measures, without measuring it; None where no picture is of the right age."""
        now, before = _Past(time_s, picture), self._pictures_before(time_s)
        self._past.append(now)
        self._forget(time_s)
        if not before:
            return None
        due = DueSpeed(self, now, before, self._independent_of(time_s))
        self._due.append(replace(due, independent=None))
        return due

    def measure(self, due: DueSpeed) -> Float32Array | None:
        """The speed of a frame that is ``due``; in the order of their times, by any thread."""
        with self._measuring:
            before = self._in_place(due)
            if before is None:
                return None
            if due.independent and (not self._measured or self._measured[-1][0] < due.independent.time_s):
                self._measure_independent(due.independent, due.now, before)
            return self._agreed(self._speed_between(before, due.now), due.time_s)

    def _in_place(self, due: DueSpeed) -> _Past | None:
        """What a frame is compared with; None if it is the first of its place."""
        of_place = [past for past in due.before if past.time_s >= self._place_since_s]
        for past in of_place:
            if _show_one_place(due.now, past):
                if past is not of_place[0]:
                    self._begin_place(past)
                return past
        if of_place:
            self._begin_place(due.now)
        return None

    def _measure_independent(self, due: DueSpeed, now: _Past, since: _Past) -> None:
        """One that was displaced, which a frame is now held against: unless there was a cut in it or since."""
        before = self._in_place(due)
        if before is None:
            return
        if _show_one_place(due.now, now):
            self._measured.append((due.time_s, self._speed_between(before, due.now)))
        else:
            self._begin_place(since)

    def _begin_place(self, first: _Past) -> None:
        """What was before it shows another place."""
        self._place_since_s = first.time_s
        self._measured.clear()

    def _speed_between(self, before: _Past, now: _Past) -> Float32Array:
        age_s = np.float32(now.time_s - before.time_s)
        return np.asarray(self._measure(now.picture.grey(), before.picture.grey()) / age_s, dtype=np.float32)

    def _independent_of(self, time_s: float) -> DueSpeed | None:
        """The youngest due one that shares no moment with a frame at ``time_s``."""
        while self._due and time_s - self._due[0].time_s > (OLDEST_STEPS + _INDEPENDENT) * self._step_s:
            self._due.popleft()
        return next((due for due in reversed(self._due) if time_s - due.time_s >= _INDEPENDENT * self._step_s), None)

    def _agreed(self, speed: Float32Array, time_s: float) -> Float32Array:
        """What the youngest measurement that shares no moment with this one agrees on; all of it if there is none."""
        while self._measured and time_s - self._measured[0][0] > OLDEST_STEPS * self._step_s + _INDEPENDENT * self._step_s:
            self._measured.popleft()
        independent = [before for at_s, before in self._measured if time_s - at_s >= _INDEPENDENT * self._step_s]
        self._measured.append((time_s, speed))
        return agreed(speed, independent[-1]) if independent else speed

    def _measure(self, now: UInt8Array, before: UInt8Array) -> Float32Array:
        """(64, 64) pixels moved; a shaken picture is shifted back and measured again."""
        flow = self._flow_of(now, before)
        shift = common_shift(flow, now)
        if shift is not None:
            flow = self._flow_of(now, shifted(before, shift))
        return _cell_means(lengths(flow))

    def _flow_of(self, now: UInt8Array, before: UInt8Array) -> Flow:
        return np.asarray(self._flow.calc(now, before, _NO_GUESS), dtype=np.float32)

    def _pictures_before(self, time_s: float) -> tuple[_Past, ...]:
        """The past picture whose age is nearest to the step, if it is near enough, and the youngest that is."""
        present = [past for past in self._past if past.time_s >= self._place_since_s]
        valid = [past for past in present if _YOUNGEST <= (time_s - past.time_s) / self._step_s <= OLDEST_STEPS]
        if not valid:
            return ()
        nearest = min(valid, key=lambda past: abs(time_s - past.time_s - self._step_s))
        return (nearest,) if nearest is valid[-1] else (nearest, valid[-1])

    def _forget(self, time_s: float) -> None:
        while self._past[0].time_s < time_s - OLDEST_STEPS * self._step_s:
            self._past.popleft()
