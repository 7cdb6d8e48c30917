"""Event changes as JSON-ready data: what `run` prints, and the base of what is delivered."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from streamwatch.records import Event, EventChange, LayerShare, Notice, Reason


def iso_time(wall_s: float) -> str:
    """A Unix time as RFC 3339 in UTC with milliseconds."""
    return datetime.fromtimestamp(wall_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def change_document(change: EventChange) -> dict[str, Any]:
    """An event change as one flat document; ``*_s`` are seconds into the source."""
    return {"type": change.type, "time": iso_time(change.at_wall_s), **event_document(change.event)}


def notice_document(notice: Notice) -> dict[str, Any]:
    """A notice as one flat document."""
    return {
        "type": notice.type,
        "time": iso_time(notice.at_wall_s),
        "id": notice.id,
        "camera": notice.camera,
        **dict(notice.detail),
    }


def layer_document(layer: LayerShare) -> dict[str, Any]:
    """What a layer of the backbone contributes, as one flat document; its key ``level`` is older than the word layer."""
    low, high = (round(v, 2) for v in layer.normal)
    return {"level": layer.layer, "share": round(layer.share, 3), "squared": round(layer.squared, 2), "normal": [low, high]}


def reason_document(reason: Reason) -> dict[str, Any]:
    """Why an event was raised, for programs and, as ``text``, for people."""
    return {
        "field": reason.field or None,
        "value": round(reason.value, 3),
        "threshold": round(reason.threshold, 3),
        "highest_normal": round(reason.highest_held, 3),
        "days_between": None if reason.days_between is None else round(reason.days_between, 3),
        "text": reason_text(reason),
    }


def reason_text(reason: Reason) -> str:
    """Why an event was raised, as a guard would say it."""
    times, footage = reason.value / max(reason.highest_held, 1e-9), f"{duration_text(reason.footage_s)} of normal footage"
    if reason.days_between is not None:
        rarity = f"such a thing comes about once in {duration_text(86_400 * reason.days_between)} here"
    else:
        rarity = f"rarer than {footage} can tell"
    if reason.field == "motion":
        return f"motion of {reason.value:.0f} px/s, {times:.1f} times the fastest that was normally held; {rarity}"
    if reason.field == "appearance":
        return f"something looks {times:.1f} times as unusual as anything that was normally held; {rarity}"
    return rarity


def duration_text(seconds: float) -> str:
    """Seconds as people say them: 45 s, 12 min, 3.5 h, 2.1 days."""
    for size_s, unit in ((86_400.0, "days"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size_s:
            return f"{seconds / size_s:.1f} {unit}"
    return f"{seconds:.0f} s"


def event_document(event: Event) -> dict[str, Any]:
    """An event as one flat document."""
    end_wall_s = event.end_wall_s
    return {
        "id": event.id,
        "camera": event.camera,
        "zone": event.zone or None,
        "severity": event.severity,
        "provisional": event.provisional,
        "start": iso_time(event.start_wall_s),
        "end": iso_time(end_wall_s) if end_wall_s is not None else None,
        "start_s": round(event.start_time_s, 3),
        "end_s": round(event.end_time_s, 3) if event.end_time_s is not None else None,
        "peak": iso_time(event.peak.wall_s),
        "peak_s": round(event.peak.time_s, 3),
        "peak_score": round(event.peak.score, 4),
        "fields": {name: round(value, 3) for name, value in event.peak.fields},
        "levels": [layer_document(layer) for layer in event.peak.layers],
        "at": [round(v, 4) for v in event.peak.at] if event.peak.at else None,
        "area": round(event.peak.area, 4),
        "start_threshold": round(event.start_threshold, 4),
        "end_threshold": round(event.end_threshold, 4),
        "boxes": [{k: round(v, 4) for k, v in asdict(box).items()} for box in event.peak.boxes],
        "reason": event.reason,
        "speaks": reason_document(event.peak.reason) if event.peak.reason else None,
        "predecessor": event.predecessor_id,
    }
