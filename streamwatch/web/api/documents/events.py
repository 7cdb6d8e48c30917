"""Events, what people say of them, and what nearly was one."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from streamwatch.enums import Severity
from streamwatch.web.api.documents.common import EVENT_ID, TIME, example
from streamwatch.web.api.documents.models import JobDocument


class EvidenceLink(BaseModel):
    """One file of an event."""

    model_config = example(kind="clips", media_type="video/mp4", href=f"/api/v1/events/{EVENT_ID}/evidence/clips")
    kind: str
    media_type: str
    href: str


class EventDocument(BaseModel):
    """One event; ``*_s`` are seconds into the source."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "id": EVENT_ID,
                    "camera": "loading-dock",
                    "zone": None,
                    "severity": "warning",
                    "provisional": False,
                    "start": TIME,
                    "end": "2026-03-01T02:14:31.320Z",
                    "start_s": 401.2,
                    "end_s": 423.4,
                    "peak": "2026-03-01T02:14:12.720Z",
                    "peak_s": 404.8,
                    "peak_score": 2.41,
                    "fields": {"motion": 1.8},
                    "levels": [],
                    "at": [0.4, 0.7],
                    "area": 0.02,
                    "start_threshold": 1.0,
                    "end_threshold": 0.7,
                    "boxes": [{"left": 0.3, "top": 0.6, "right": 0.5, "bottom": 0.8}],
                    "reason": "normal",
                    "speaks": {
                        "field": "motion",
                        "value": 98.8,
                        "threshold": 41.0,
                        "highest_normal": 32.8,
                        "days_between": 40.0,
                        "text": "motion of 99 px/s, 3.0 times the fastest that was normally held",
                    },
                    "predecessor": None,
                    "label": None,
                    "note": None,
                    "evidence": [],
                }
            ]
        },
    )
    id: str
    camera: str
    zone: str | None
    severity: Severity
    provisional: bool
    start: str
    end: str | None
    start_s: float
    end_s: float | None
    peak: str
    peak_s: float
    peak_score: float
    start_threshold: float
    end_threshold: float
    reason: str | None
    label: str | None
    note: str | None
    evidence: list[EvidenceLink]


Label = Literal["normal", "anomaly", "none"]
Note = Annotated[str, StringConstraints(max_length=1000)]


class LabelRequest(BaseModel):
    """What an event was; ``none`` takes it back."""

    model_config = example(label="normal")
    label: Label


class BulkLabelRequest(BaseModel):
    """The same of many."""

    model_config = example(ids=[EVENT_ID], label="normal")
    ids: Annotated[list[Annotated[str, StringConstraints(max_length=36)]], Field(min_length=1, max_length=100)]
    label: Label


class NoteRequest(BaseModel):
    """What else there is to say of an event; null takes it back."""

    model_config = example(note="the gardener, early")
    note: Note | None


class Labelled(BaseModel):
    """What was labelled, and the work that teaches it to the model, if there is any."""

    model_config = example(ids=[EVENT_ID], label="normal", jobs=[])
    ids: list[str]
    label: str | None
    jobs: list[JobDocument]


class NearMiss(BaseModel):
    """Something that came near a threshold and did not cross it."""

    model_config = example(camera="loading-dock", zone=None, field="motion", at=TIME, value=33.0, threshold=41.0, share=0.8)
    camera: str
    zone: str | None
    field: str
    at: str
    value: float
    threshold: float
    share: float
