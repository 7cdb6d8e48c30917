"""Models, and work that takes long."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from streamwatch.web.api.documents.common import EVENT_ID, TIME, example
from streamwatch.web.jobs import JobState


class JobDocument(BaseModel):
    """Work that takes long."""

    model_config = example(
        id=EVENT_ID,
        kind="learn",
        subject="loading-dock",
        state="running",
        share=0.4,
        asked=TIME,
        began=TIME,
        ended=None,
        command="streamwatch fit -c site.yaml loading-dock --live 20m",
        lines=["loading-dock: 2400 of 6000 frames, 5.0 fps"],
    )
    id: str
    kind: str
    subject: str
    state: JobState
    share: float | None
    asked: str
    began: str | None
    ended: str | None
    command: str
    lines: list[str]


class ModelDocument(BaseModel):
    """A model file and the thresholds that follow from it."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "file": "loading-dock.safetensors",
                    "learned": TIME,
                    "frames": 6000,
                    "footage_s": 1200.0,
                    "features": ["appearance", "motion"],
                    "backbone": "resnet18, d = 100, seed 1024",
                    "zones": [],
                    "previous": True,
                }
            ]
        },
    )
    file: str
    learned: str
    frames: int
    footage_s: float
    features: list[str]
    backbone: str
    zones: list[dict[str, Any]]
    previous: bool


class HistoryEntry(BaseModel):
    """Something that was done to a model or its thresholds."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "model": "loading-dock",
                    "time": TIME,
                    "change": "fitted",
                    "by": "command",
                    "text": "6000 frames, 20.0 min of footage",
                }
            ]
        },
    )
    model: str
    time: str
    change: str
    by: str
    text: str


class LearnRequest(BaseModel):
    """How to learn a camera: from itself for a while, or from the footage that its key ``normal`` names."""

    model_config = example(live="20m", update=False)
    live: str | None = Field(None, max_length=32, pattern=r"^[0-9.]+(s|m|h)$", description="like 20m; null takes `normal`")
    update: bool = Field(False, description="add to the model that is there")


class RollbackRequest(BaseModel):
    """Of what."""

    model_config = example(regime=None)
    regime: Literal["day", "grey", "dark"] | None = None
