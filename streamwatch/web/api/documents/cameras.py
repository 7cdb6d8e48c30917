"""Cameras: what they do now, their levels, and what other budgets would have come to."""

from __future__ import annotations

from pydantic import BaseModel, Field

from streamwatch.enums import CameraState
from streamwatch.web.api.documents.common import TIME, example


class FieldDocument(BaseModel):
    """One field of the picture, in its own unit."""

    model_config = example(name="motion", value=12.5, threshold=41.0)
    name: str
    value: float
    threshold: float


class CalibrationDocument(BaseModel):
    """How far thresholds are from what the alarm budget asks of them."""

    model_config = example(footage_s=7200.0, needed_s=259200.0, share=0.028, budget_per_day=1.0, bound_per_day=36.0)
    footage_s: float
    needed_s: float
    share: float
    budget_per_day: float
    bound_per_day: float


class CameraDocument(BaseModel):
    """One camera as it is now; times are RFC 3339."""

    model_config = example(
        name="loading-dock",
        enabled=True,
        source="rtsp://***@10.0.0.5/stream2",
        state="running",
        level=0.31,
        threshold=1.0,
        fields=[{"name": "appearance", "value": 3.1, "threshold": 9.8}, {"name": "motion", "value": 12.5, "threshold": 41.0}],
        frames_per_s=5.0,
        latency_ms=84.0,
        scored_at=TIME,
        received=91200,
        scored=91188,
        drops={"stale": 12},
        disconnects={"timeout": 1},
        tamper=None,
        calibration=None,
        snoozed_until=None,
        alarm_budget_per_day=1.0,
        zones={"door": [[0.1, 0.2], [0.3, 0.2], [0.3, 0.6]]},
        ignore=[],
        privacy=[],
        shard=None,
    )
    name: str
    enabled: bool
    source: str
    state: CameraState | None = Field(description="null where it is not watched now")
    level: float | None
    threshold: float | None
    fields: list[FieldDocument]
    frames_per_s: float
    latency_ms: float | None
    scored_at: str | None
    received: int
    scored: int
    drops: dict[str, int]
    disconnects: dict[str, int]
    tamper: str | None
    calibration: CalibrationDocument | None
    snoozed_until: str | None
    alarm_budget_per_day: float
    zones: dict[str, list[tuple[float, float]]]
    ignore: list[list[tuple[float, float]]]
    privacy: list[list[tuple[float, float]]]
    shard: str | None = Field(None, description="which of several processes watches it; null where one has all, or none has it")


class LevelPoint(BaseModel):
    """One scored frame; ``at`` is Unix seconds."""

    model_config = example(at=1772331249.12, level=0.31, fields={"appearance": 3.1, "motion": 12.5})
    at: float
    level: float
    fields: dict[str, float]


class LevelsDocument(BaseModel):
    """How a camera's level went lately."""

    model_config = example(
        camera="loading-dock",
        threshold=1.0,
        field_thresholds={"appearance": 9.8, "motion": 41.0},
        points=[{"at": 1772331249.12, "level": 0.31, "fields": {"appearance": 3.1, "motion": 12.5}}],
    )
    camera: str
    threshold: float | None
    field_thresholds: dict[str, float]
    points: list[LevelPoint]


class BudgetChoice(BaseModel):
    """What one alarm budget would have come to."""

    model_config = example(budget_per_day=1.0, alarms=5, alarms_per_day=0.8, thresholds={"motion": 41.0}, provisional=False)
    budget_per_day: float
    alarms: int = Field(description="that the watched time would have raised, on its own thresholds")
    alarms_per_day: float
    thresholds: dict[str, float] = Field(description="of the picture outside of zones, by field, in its own unit")
    provisional: bool = Field(description="the footage is too short for it: thresholds are what it supports")


class BudgetsDocument(BaseModel):
    """Alarms that were raised, and that other budgets would have raised, by what the camera held while it was watched."""

    model_config = example(
        camera="loading-dock", watched_days=6.2, budget_per_day=1.0, raised=5, raised_per_day=0.8, called_normal=2, choices=[]
    )
    camera: str
    watched_days: float
    budget_per_day: float
    raised: int = Field(description="events that really began in these days, whatever budget and thresholds were then")
    raised_per_day: float | None = Field(description="of a watched day; null before an hour was watched")
    called_normal: int = Field(description="of these, the events that were labelled normal: false alarms")
    choices: list[BudgetChoice]


class Snooze(BaseModel):
    """For how long."""

    model_config = example(duration="2h")
    duration: str = Field(max_length=32, description="like 30m or 2h")
