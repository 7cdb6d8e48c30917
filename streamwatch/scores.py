"""What the model says of a frame, as it travels between rooms: frozen, free of torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from streamwatch.records import BoolGrid, Float32Array, Frame, LayerShare, Measures


@dataclass(frozen=True, slots=True)
class Spread:
    """Whether a frame is far from normal all over or in a place; zeros for a model that does not see appearance.

    Attributes:
        low: the distance that three quarters of all places exceed.
        evenness: ``low`` divided by the distance that one place in twenty exceeds. A thing in the scene raises the second,
            and through the network's wide field of view also the first a little; light, camera or lens raise both.
    """

    low: float = 0.0
    evenness: float = 0.0


NO_SPREAD = Spread()


@dataclass(frozen=True, slots=True)
class MapScores:
    """What a frame's maps come to.

    Attributes:
        score: the maximum of ``grid``: the frame by itself, no temporal filter.
        grid: (h, w) anomaly map, smoothed in space.
        causal_score: the maximum of the map after the causal temporal filter.
        level: the maximum of ``level_grid``.
        level_grid: (h, w) the level of each cell: how many times its threshold the field is at that speaks most.
        fields: what each field says at the strongest cell of ``level_grid``: for a model of both fields -log10 of
            the chance that normal footage is as far out, for a model of one its distance.
        spread: how the causally filtered appearance map is spread over the picture.
        cell: the strongest, counted row by row.
        measures: what each field measured, causally filtered, divided by the suppression map; ``""`` is the field of a model
            whose fields are judged together. Thresholds are derived from these.
    """

    score: float
    grid: Float32Array
    causal_score: float
    level: float
    level_grid: Float32Array
    fields: tuple[tuple[str, float], ...] = ()
    spread: Spread = NO_SPREAD
    cell: int = 0
    measures: Measures = ()

    def __post_init__(self) -> None:
        if self.grid.ndim != 2 or self.grid.shape != self.level_grid.shape:
            raise ValueError(f"grids must have two equal axes, not {self.grid.shape} and {self.level_grid.shape}")


@dataclass(frozen=True, slots=True)
class Highest:
    """The highest of a frame in a part of its picture.

    Attributes:
        cells: (h, w) True where the part's cells are; None for the whole picture.
        level: of ``MapScores.level_grid``.
        measures: by field, of ``MapScores.measures``.
    """

    cells: BoolGrid | None
    level: float
    measures: tuple[tuple[str, float], ...]

    @classmethod
    def of(cls, maps: MapScores, cells: BoolGrid | None) -> Highest:
        """From the maps themselves; 0 in a part without cells."""
        if cells is None:
            return cls(None, maps.level, tuple((name, float(values.max(initial=0.0))) for name, values in maps.measures))
        measures = tuple((name, float(values[cells].max(initial=0.0))) for name, values in maps.measures)
        return cls(cells, float(maps.level_grid[cells].max(initial=0.0)), measures)


@dataclass(frozen=True, slots=True)
class FrameScore:
    """What the model says of one frame: the few numbers that decide, and its maps for whoever asks.

    Attributes:
        level: what thresholds are compared with, of the whole picture.
        maps: fetches what the frame's maps come to, which lie where they were computed; the second time it is there.
        spread: how the causally filtered appearance map is spread over the picture.
        highest: of the parts of the picture that the camera's events are judged by.
        explain: computes ``layers``.
        reused: it is the camera's last result, because nothing has changed.
        levels: fetches ``level_grid`` alone, which costs less; None takes it from ``maps``.
    """

    frame: Frame
    level: float
    maps: Callable[[], MapScores] = field(repr=False, compare=False)
    spread: Spread = NO_SPREAD
    highest: tuple[Highest, ...] = ()
    explain: Callable[[], tuple[LayerShare, ...]] = field(default=tuple, repr=False, compare=False)
    reused: bool = False
    levels: Callable[[], Float32Array] | None = field(default=None, repr=False, compare=False)

    @property
    def score(self) -> float:
        """See ``MapScores``; so of the other properties by its names."""
        return self.maps().score

    @property
    def grid(self) -> Float32Array:
        """(h, w), see ``MapScores``."""
        return self.maps().grid

    @property
    def level_grid(self) -> Float32Array:
        """(h, w), see ``MapScores``."""
        return self.maps().level_grid if self.levels is None else self.levels()

    @property
    def fields(self) -> tuple[tuple[str, float], ...]:
        """See ``MapScores``."""
        return self.maps().fields

    @property
    def measures(self) -> Measures:
        """See ``MapScores``."""
        return self.maps().measures

    @property
    def layers(self) -> tuple[LayerShare, ...]:
        """What of the backbone speaks at the strongest cell, in this frame alone; empty without appearance.

        Computed when it is asked for, which costs more than the frame's level: few frames are an event's peak.
        """
        return self.explain()

    def highest_in(self, cells: BoolGrid | None) -> Highest:
        """The highest of a part of the picture, (h, w) True where its cells are; None is the whole.

        Of a part that the engine was told of nothing is fetched; it is known by being the same array.
        """
        known = next((one for one in self.highest if one.cells is cells), None)
        return known or Highest.of(self.maps(), cells)

    def level_in(self, cells: BoolGrid | None) -> float:
        """The level of a part of the picture, as ``highest_in``."""
        return self.level if cells is None else self.highest_in(cells).level
