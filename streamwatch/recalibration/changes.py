"""What changes when thresholds are derived anew, and how that is said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from streamwatch.documents import duration_text
from streamwatch.enums import EventType, ModelChangeKind
from streamwatch.ids import uuid7
from streamwatch.model.calibration.thresholds import DAY_S
from streamwatch.recalibration.basis import FieldOfZone
from streamwatch.records import Notice
from streamwatch.scenes.model_history import ModelChange
from streamwatch.scenes.policy import CalibratedPolicy, JudgedField

WORTH_SAYING = 0.001
"""A change of less is no line of the history."""


@dataclass(frozen=True)
class Judged:
    """How a scene is judged, by zone and field.

    Attributes:
        fields: none where thresholds were given by hand.
        calibrating: the budget of a zone is not supported yet.
    """

    fields: Mapping[FieldOfZone, JudgedField]
    calibrating: bool

    @staticmethod
    def of(policies: Mapping[str, CalibratedPolicy]) -> Judged:
        """What policies of zones say of fields that are judged by themselves."""
        pairs = ((zone, judged) for zone, calibrated in policies.items() for judged in calibrated.fields)
        fields = {(zone, judged.known.field): judged for zone, judged in pairs if judged.known.field}
        return Judged(fields, any(calibrated.policy.provisional for calibrated in policies.values()))

    @property
    def starts(self) -> dict[FieldOfZone, float]:
        """Start thresholds."""
        return {key: judged.thresholds.start for key, judged in self.fields.items()}

    def differs_from(self, before: Judged, by: float = WORTH_SAYING) -> bool:
        """Whether a threshold is another by more than this share, or what is promised of it is."""
        if self.fields.keys() != before.fields.keys() or self.calibrating != before.calibrating:
            return True
        was = before.starts
        return any(abs(start - was[key]) > by * was[key] for key, start in self.starts.items())


def change_of(before: Judged, after: Judged, watched_s: float, at_wall_s: float) -> ModelChange:
    """The line of the history."""
    thresholds = threshold_documents(before, after)
    state = "still calibrating" if after.calibrating else "the budget is supported"
    text = f"{thresholds_text(thresholds)}; {duration_text(watched_s)} watched, {state}"
    detail = {"thresholds": thresholds, "watched_s": round(watched_s, 1), "calibrating": after.calibrating}
    return ModelChange(at_wall_s, ModelChangeKind.THRESHOLDS, "daemon", text, detail)


def threshold_documents(before: Judged, after: Judged) -> list[dict[str, Any]]:
    """What each threshold was, and is, for programs."""
    was = before.starts
    return [
        {"zone": zone or None, "field": field, "before": _rounded(was.get((zone, field))), "after": _rounded(start)}
        for (zone, field), start in after.starts.items()
    ]


def thresholds_text(thresholds: Sequence[Mapping[str, Any]]) -> str:
    """The same for people."""
    places = [" ".join(filter(None, (t["zone"], t["field"]))) for t in thresholds]
    return ", ".join(f"{place} {t['before']} to {t['after']}" for place, t in zip(places, thresholds, strict=True))


def ready_notice(camera: str, regime: str | None, after: Judged, watched_s: float, at_wall_s: float) -> Notice:
    """Says that a camera has been watched for long enough for its budget."""
    bound = sum(judged.thresholds.budget_per_day for judged in after.fields.values())
    detail: tuple[tuple[str, str | float | bool], ...] = (
        ("alarms_per_day", round(bound, 6)),
        ("watched_days", round(watched_s / DAY_S, 3)),
        *((("regime", regime),) if regime else ()),
    )
    return Notice(uuid7(at_wall_s), EventType.MODEL_READY, camera, at_wall_s, detail)


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")
