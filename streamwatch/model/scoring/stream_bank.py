"""What ``stream_scorer`` says of one stream's frame, of a whole batch of many cameras at once, on the device of its maps.

The filtered maps of all streams and what they are judged by lie in tensors, a row for each camera. Of a batch a few numbers
for each frame come back to the host, in one copy: its level, its strongest cell, its spread, and the highest of each field in
each zone. The maps stay where they are until somebody asks for a frame's (``scores.FrameScore.maps``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from streamwatch.errors import ModelError
from streamwatch.model.batches import sent
from streamwatch.model.scoring.fusion import FieldMaps
from streamwatch.model.scoring.levels import APPEARANCE, MOTION, FieldUnits
from streamwatch.model.scoring.stream_scorer import SPREAD_QUANTILES, StreamRules, spread_between
from streamwatch.model.scoring.temporal import FilterClock
from streamwatch.records import BoolGrid, Float32Array, Frame
from streamwatch.scores import NO_SPREAD, Highest, MapScores, Spread

FIELDS = (APPEARANCE, MOTION)
_FIRST_SLOTS = 8
_ROUNDS_AT_MOST = 8
"""On a GPU, of more frames of one camera than these its filter is one product: each round is a launch."""
_NUMBERS = 8
"""Of each frame: level, strongest cell, two quantiles, each field's highest, and whether each field's map is finite."""


@dataclass(frozen=True)
class Decision:
    """What a frame comes to; see ``scores.FrameScore``.

    Attributes:
        cell: the strongest, counted row by row.
    """

    level: float
    cell: int
    spread: Spread
    highest: tuple[Highest, ...]
    maps: Callable[[], MapScores]
    levels: Callable[[], Float32Array]


@dataclass
class _Stream:
    """One camera: its row of the bank, and its filters' clocks.

    Attributes:
        sees: by field, whether its model does.
        zones: the parts of the picture that its events are judged by, and (z, cells) the same on the device.
    """

    slot: int
    rules: StreamRules
    sees: tuple[bool, bool]
    zones: tuple[BoolGrid, ...] = ()
    masks: Tensor | None = None
    segment: int = -1
    clocks: tuple[FilterClock, FilterClock] = field(default_factory=lambda: (FilterClock(), FilterClock()))

    def state(self) -> tuple[int, tuple[float | None, ...]]:
        """Where its filters are, to begin again from with ``resume``."""
        return self.segment, tuple(clock.last_s for clock in self.clocks)

    def resume(self, state: tuple[int, tuple[float | None, ...]]) -> None:
        """Go on from an earlier ``state``."""
        self.segment, times_s = state
        for clock, last_s in zip(self.clocks, times_s, strict=True):
            clock.restart(last_s)

    def speaks(self, frame: Frame) -> tuple[bool, bool]:
        """By field, whether the frame feeds it."""
        return self.sees[0], self.sees[1] and frame.speed is not None and not math.isnan(frame.speed[0, 0])

    def weights(self, frame: Frame, speaks: tuple[bool, bool]) -> list[float]:
        """By field, the weight in its filter of the stream's next frame."""
        if frame.segment != self.segment:
            self.resume((frame.segment, (None, None)))
        return [clock.weight(frame.time_s, speaks=one) for clock, one in zip(self.clocks, speaks, strict=True)]


@dataclass(frozen=True)
class _Turns:
    """A batch, each camera's frames in their order: K rounds, in each at most one frame of each of C cameras.

    Attributes:
        slots: (C,) rows of the bank.
        rows: (K, C) rows of the batch; 0 where a camera has no frame left.
        weights: (2, K, C, 1) by field; 0 there, which leaves a filter as it is.
        at: (2, N) round and camera of each row of the batch.
        responses: of many rounds on a GPU, what they come to; see ``responses_of``.
    """

    slots: Tensor
    rows: Tensor
    weights: Tensor
    at: Tensor
    responses: Tensor | None


class StreamBank:
    """Scores batches of frames of many streams, each stream's in their order; one thread at a time.

    Args:
        grid: (h, w) of all maps.
    """

    def __init__(self, grid: tuple[int, int], device: torch.device) -> None:
        self._device, cells = device, grid[0] * grid[1]
        self._streams: dict[str, _Stream] = {}
        self._free: list[int] = []
        self._filtered, self._units = (torch.ones((2, 0, cells), device=device) for _ in range(2))
        self._divisor = torch.ones((0, cells), device=device)

    def __contains__(self, camera: str) -> bool:
        return camera in self._streams

    def begin(self, camera: str, rules: StreamRules, sees: tuple[bool, bool], zones: Sequence[BoolGrid] = ()) -> None:
        """Judge ``camera`` by ``rules``, which name units, from its next frame on, as a stream that begins."""
        self.forget(camera)
        if not self._free:
            self._grow()
        stream = _Stream(self._free.pop(), rules, sees)
        self._divisor[stream.slot] = torch.from_numpy(rules.divisor()).flatten()
        self._filtered[:, stream.slot] = 0.0
        self._streams[camera] = stream
        self.judge(camera, rules.units, zones)

    def judge(self, camera: str, units: FieldUnits | None, zones: Sequence[BoolGrid]) -> None:
        """Measure a stream's fields in other units, and in other zones; None leaves the units as they are."""
        stream = self._streams[camera]
        if units is not None:
            stream.rules = replace(stream.rules, units=units)
            for row, name in enumerate(FIELDS):
                unit = torch.from_numpy(np.asarray(units.of(name), dtype=np.float32))
                self._units[row, stream.slot] = unit.flatten()
        stream.zones = tuple(zones)
        stream.masks = torch.from_numpy(np.stack(stream.zones)).flatten(1).to(self._device) if stream.zones else None

    def hold(self, camera: str, time_s: float) -> None:
        """Nothing has changed until ``time_s``: the last scores hold, and the filters forget nothing of them."""
        for clock in self._streams[camera].clocks:
            clock.hold(time_s)

    def forget(self, camera: str) -> None:
        """The stream ends."""
        stream = self._streams.pop(camera, None)
        if stream:
            self._free.append(stream.slot)

    @contextmanager
    def undone_on_fault(self, cameras: Collection[str]) -> Iterator[None]:
        """What fails in here leaves these cameras' streams as they were: their frames may come again."""
        streams = [self._streams[camera] for camera in cameras if camera in self._streams]
        slots = sent(np.array([stream.slot for stream in streams], dtype=np.int64), self._device)
        states, filtered = [stream.state() for stream in streams], self._filtered[:, slots]
        with ExitStack() as undo:
            undo.callback(self._filtered.index_copy_, 1, slots, filtered)
            for stream, state in zip(streams, states, strict=True):
                undo.callback(stream.resume, state)
            yield
            undo.pop_all()

    def decide(self, frames: Sequence[Frame], grids: Tensor) -> list[Decision]:
        """What a batch comes to, in its order.

        Args:
            grids: (2, N, h, w) appearance and motion maps, anything where a field says nothing.

        Raises:
            ModelError: a map is not finite.
        """
        streams = [self._streams[frame.camera] for frame in frames]
        speaks = [stream.speaks(frame) for stream, frame in zip(streams, frames, strict=True)]
        turns = self._turns(frames, streams, speaks)
        raw = grids.flatten(2)
        smooth = _filtered(self._filtered, torch.nan_to_num(raw), turns)
        slots = sent(np.array([stream.slot for stream in streams]), self._device)
        masks = [(row, stream.masks) for row, stream in enumerate(streams) if stream.masks is not None]
        speaking = sent(np.array(speaks), self._device).T
        measured = torch.where(speaking[:, :, None], smooth / self._divisor[slots], 0.0)
        found = _numbers(measured, measured / self._units[:, slots], smooth[0], raw.isfinite().all(dim=2), masks).cpu().numpy()
        of_frames, of_zones = np.split(found, [_NUMBERS * len(frames)])
        numbers = of_frames.reshape(-1, _NUMBERS)
        _require_finite(frames, np.asarray(speaks), numbers[:, 6:])
        of_zone, decisions = iter(of_zones.reshape(-1, 3).tolist()), list[Decision]()
        for row, (stream, speaks_here, of_frame) in enumerate(zip(streams, speaks, numbers.tolist(), strict=True)):
            maps = _RowMaps(raw, smooth, row, speaks_here, stream.rules)
            if frames[row].still is not None:
                maps.let_go()  # it may be kept as the camera's last result
            zones = [_highest(cells, next(of_zone), speaks_here) for cells in stream.zones]
            whole = _highest(None, (of_frame[0], *of_frame[4:6]), speaks_here)
            spread = spread_between(of_frame[2], of_frame[3]) if speaks_here[0] else NO_SPREAD
            decisions.append(Decision(of_frame[0], int(of_frame[1]), spread, (whole, *zones), maps, maps.levels))
        return decisions

    def _turns(self, frames: Sequence[Frame], streams: Sequence[_Stream], speaks: Sequence[tuple[bool, bool]]) -> _Turns:
        columns: dict[int, int] = {}
        rounds, at = list[int](), np.empty((2, len(frames)), dtype=np.int64)
        for row, stream in enumerate(streams):
            column = columns.setdefault(stream.slot, len(columns))
            if column == len(rounds):
                rounds.append(0)
            at[:, row] = rounds[column], column
            rounds[column] += 1
        rows = np.zeros((max(rounds), len(columns)), dtype=np.int64)
        weights = np.zeros((2, *rows.shape, 1), dtype=np.float32)
        rows[at[0], at[1]] = np.arange(len(frames))
        each = [stream.weights(frame, one) for stream, frame, one in zip(streams, frames, speaks, strict=True)]
        weights[:, at[0], at[1], 0] = np.array(each, dtype=np.float32).T
        slots = np.array(list(columns), dtype=np.int64)
        many = self._device.type != "cpu" and len(rows) > _ROUNDS_AT_MOST
        responses = sent(responses_of(weights), self._device) if many else None
        sent_slots, sent_rows, sent_at = (sent(array, self._device) for array in (slots, rows, at))
        return _Turns(sent_slots, sent_rows, sent(weights, self._device), sent_at, responses)

    def _grow(self) -> None:
        """Twice the rows."""
        held = self._divisor.shape[0]
        more = max(held, _FIRST_SLOTS)
        self._filtered, self._units = (
            torch.cat([bank, bank.new_ones((2, more, bank.shape[2]))], dim=1) for bank in (self._filtered, self._units)
        )
        self._divisor = torch.cat([self._divisor, self._divisor.new_ones((more, self._divisor.shape[1]))])
        self._free.extend(range(held, held + more))


def _require_finite(frames: Sequence[Frame], speaks: npt.NDArray[np.bool_], finite: npt.NDArray[np.float32]) -> None:
    broken = np.flatnonzero((speaks & (finite == 0)).any(axis=1)).tolist()
    if broken:
        raise not_finite(frames[broken[0]].camera)


def not_finite(camera: str) -> ModelError:
    """What is told of a map of NaN or infinity: no comparison with a threshold is true of it."""
    hint = "check the weights; with precision: float32 nothing overflows"
    return ModelError("the anomaly map is not finite", where=f"camera {camera}", hint=hint)


class _RowMaps:
    """One frame's maps, copied to the host when they are asked for, and judged there as ``stream_scorer`` does.

    Until then they keep those of its batch on the device.
    """

    def __init__(self, raw: Tensor, smooth: Tensor, row: int, speaks: tuple[bool, bool], rules: StreamRules) -> None:
        self._batch: tuple[Tensor, Tensor, int] | None = (raw, smooth, row)
        self._speaks, self._rules = speaks, rules
        self._fields: tuple[FieldMaps, FieldMaps] | None = None
        self._found: MapScores | None = None

    def __call__(self) -> MapScores:
        """The first time from the device; any thread may ask."""
        if self._found is None:
            self._found = self._rules.scores_of(*self._fetched())
        return self._found

    def levels(self) -> Float32Array:
        """(h, w) the level of each cell, without the score that nobody asked for: 0.06 ms and not 1."""
        return self._rules.levels_of(self._fetched()[1]) if self._found is None else self._found.level_grid

    def let_go(self) -> None:
        """Keep this row alone, and not its batch."""
        if self._batch is not None:
            raw, smooth, row = self._batch
            self._batch = raw[:, row : row + 1].clone(), smooth[:, row : row + 1].clone(), 0

    def _fetched(self) -> tuple[FieldMaps, FieldMaps]:
        """The maps by themselves, and filtered."""
        batch = self._batch
        if batch is not None:
            raw, smooth, row = batch
            both = torch.stack([raw[:, row], smooth[:, row]]).cpu().numpy().reshape(2, 2, *self._rules.grid)
            fields = [FieldMaps(*(m if s else None for m, s in zip(pair, self._speaks, strict=True))) for pair in both]
            self._fields, self._batch = (fields[0], fields[1]), None
        if self._fields is None:
            raise AssertionError("maps that were let go before they were fetched")
        return self._fields


def _highest(cells: BoolGrid | None, found: Sequence[float], speaks: tuple[bool, bool]) -> Highest:
    """From a level and each field's highest."""
    level, *highest = found
    named = zip(FIELDS, highest, speaks, strict=True)
    return Highest(cells, level, tuple((name, value) for name, value, speaks_here in named if speaks_here))


def _filtered(bank: Tensor, maps: Tensor, turns: _Turns) -> Tensor:
    """(2, N, cells) maps through their streams' filters, whose state in the bank is taken up and left behind."""
    inputs, last = maps[:, turns.rows], bank[:, turns.slots]
    many = turns.responses
    found = in_rounds(last, inputs, turns.weights) if many is None else at_once(last, inputs, many)
    bank[:, turns.slots] = found[:, -1]
    return found[:, turns.at[0], turns.at[1]]


def in_rounds(last: Tensor, inputs: Tensor, weights: Tensor) -> Tensor:
    """(2, K, C, cells) filtered maps of K rounds, from the (2, C, cells) before them: the same bits however a stream is cut."""
    found = torch.empty_like(inputs)
    for number in range(inputs.shape[1]):
        torch.lerp(last, inputs[:, number], weights[:, number], out=found[:, number])
        last = found[:, number]
    return found


def at_once(last: Tensor, inputs: Tensor, responses: Tensor) -> Tensor:
    """As ``in_rounds``, in one product: of 256 frames of one camera as many launches are left out."""
    seen = torch.cat([last.unsqueeze(1), inputs], dim=1).transpose(1, 2)
    return (responses @ seen).transpose(1, 2)


def responses_of(weights: Float32Array) -> Float32Array:
    """(2, C, K, K + 1) what filtered maps of K rounds are sums of: the one before them and each input.

    y_k = (1 - w_k) y_{k-1} + w_k x_k, written out in float64, from (2, K, C, 1) weights.
    """
    fields, rounds, cameras, _ = weights.shape
    found = np.zeros((rounds, fields, cameras, rounds + 1))
    row = np.zeros((fields, cameras, rounds + 1))
    row[..., 0] = 1.0
    for number, weight in enumerate(weights.swapaxes(0, 1).astype(np.float64)):
        row = (1.0 - weight) * row
        row[..., number + 1] = weight[..., 0]
        found[number] = row
    return np.ascontiguousarray(found.transpose(1, 2, 0, 3), dtype=np.float32)


def _numbers(
    measured: Tensor, multiples: Tensor, appearance: Tensor, finite: Tensor, masks: Sequence[tuple[int, Tensor]]
) -> Tensor:
    """The numbers of each of N frames, and behind them level, appearance and motion of each zone; (8 N + 3 Z,).

    Shapes: measured and multiples of units (2, N, cells), filtered appearance (N, cells), finite (2, N), masks (z, cells) of a
    row each.
    """
    levels = multiples.amax(dim=0)
    level, cell = levels.max(dim=1)
    ordered = appearance.sort(dim=1).values
    quantiles = [_quantile(ordered, q) for q in SPREAD_QUANTILES]
    numbers = torch.stack([level, cell.to(level.dtype), *quantiles, *measured.amax(dim=2), *finite.to(level.dtype)], dim=1)
    if not masks:
        return numbers.flatten()
    rows = sent(np.array([row for row, mask in masks for _ in mask]), levels.device)
    inside = torch.cat([mask for _, mask in masks])
    of_zones = torch.where(inside, torch.stack([levels[rows], *measured[:, rows]]), 0.0).amax(dim=2)
    return torch.cat([numbers.flatten(), of_zones.T.flatten()])


def _quantile(ordered: Tensor, q: float) -> Tensor:
    """Of each row of sorted values, interpolated linearly, as ``numpy.quantile`` has it."""
    at = q * (ordered.shape[1] - 1)
    below = int(at)
    above = min(below + 1, ordered.shape[1] - 1)
    return torch.lerp(ordered[:, below], ordered[:, above], at - below)
