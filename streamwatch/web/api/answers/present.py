"""Our records as the API's documents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from streamwatch.config.schema import Config
from streamwatch.documents import event_document, iso_time
from streamwatch.evidence.layout import path_of
from streamwatch.masking import mask_credentials, mask_url
from streamwatch.records import Event
from streamwatch.store.outbox.messages import Attempt, Message
from streamwatch.web.api.documents.cameras import CalibrationDocument, CameraDocument, FieldDocument
from streamwatch.web.api.documents.deliveries import AttemptDocument, DeliveryDocument
from streamwatch.web.api.documents.events import EventDocument, EvidenceLink
from streamwatch.web.api.documents.models import JobDocument
from streamwatch.web.jobs import Job
from streamwatch.web.live.cameras import CameraNow

SHOWN = {
    "starts": "image/jpeg",
    "peaks": "image/jpeg",
    "snapshots": "image/jpeg",
    "maps": "application/octet-stream",
    "scores": "image/svg+xml",
    "clips": "video/mp4",
    "evidence": "application/json",
}
"""Kinds of evidence that are given out, with their media types; what the model saw is not."""
USUAL = ("starts", "peaks", "snapshots", "clips", "evidence")
"""Kinds that an event has, if its camera's clips are kept."""


def optional_time(wall_s: float | None) -> str | None:
    """A Unix time as RFC 3339, if there is one."""
    return None if wall_s is None else iso_time(wall_s)


def camera_document(
    config: Config,
    name: str,
    now: CameraNow | None,
    snoozed: Mapping[str, float],
    now_wall_s: float,
    *,
    shard: str | None = None,
) -> CameraDocument:
    """One camera of a configuration, and what it does if it is watched.

    Args:
        snoozed: until when each camera's events are switched off, Unix times.
        shard: of the process that watches it.
    """
    camera, settings = config.cameras[name], config.settings(name)
    values: dict[str, Any] = {
        "name": name,
        "enabled": camera.enabled,
        "source": mask_url(camera.source.get_secret_value()),
        "alarm_budget_per_day": settings.alarm_budget,
        "snoozed_until": snoozed_until(snoozed, name, now_wall_s),
        "zones": {zone: of.polygon for zone, of in camera.zones.items()},
        "ignore": list(camera.ignore),
        "privacy": list(camera.privacy),
        "shard": shard if now else None,
    }
    return CameraDocument(**values, **_now_document(now))


def snoozed_until(snoozed: Mapping[str, float], camera: str, now_wall_s: float) -> str | None:
    """Until when a camera's events are switched off; None if they are not."""
    until_s = snoozed.get(camera, 0.0)
    return iso_time(until_s) if until_s > now_wall_s else None


def _now_document(now: CameraNow | None) -> dict[str, Any]:
    if now is None:
        nothing: dict[str, Any] = dict.fromkeys(
            ("state", "level", "threshold", "latency_ms", "scored_at", "tamper", "calibration")
        )
        return {**nothing, "fields": [], "frames_per_s": 0.0, "received": 0, "scored": 0, "drops": {}, "disconnects": {}}
    known = now.calibration
    return {
        "state": now.state,
        "level": _rounded(now.level),
        "threshold": _rounded(now.threshold),
        "fields": [FieldDocument(**asdict(field)) for field in now.fields],
        "frames_per_s": round(now.frames_per_s, 1),
        "latency_ms": None if now.latency_s is None else round(1000 * now.latency_s, 1),
        "scored_at": optional_time(now.scored_wall_s),
        "received": now.received,
        "scored": now.scored,
        "drops": {str(reason): count for reason, count in now.drops.items()},
        "disconnects": {str(kind): count for kind, count in now.disconnects.items()},
        "tamper": now.tamper,
        "calibration": CalibrationDocument(**asdict(known), share=round(known.share, 4)) if known else None,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def stored_event(event: Event, folder: Path, *, of_others: bool = False) -> EventDocument:
    """An event with what people said of it, and its evidence; see ``evidence_links``."""
    links = evidence_links(event.id, folder, of_others=of_others)
    said = {"label": event.label, "note": event.note, "evidence": links}
    return EventDocument(**event_document(event), **said)


def evidence_links(event_id: str, folder: Path, *, of_others: bool = False) -> list[EvidenceLink]:
    """The files that there are of an event.

    Args:
        of_others: of one that is not here but another process's, those that an event has: that process is asked for them.
    """
    there = {kind: media_type for kind, media_type in SHOWN.items() if path_of(folder, kind, event_id).is_file()}
    there = there or ({kind: SHOWN[kind] for kind in USUAL} if of_others else {})
    base = f"/api/v1/events/{event_id}/evidence"
    return [EvidenceLink(kind=kind, media_type=media_type, href=f"{base}/{kind}") for kind, media_type in there.items()]


def delivery_document(message: Message) -> DeliveryDocument:
    """A message of the outbox, without what it says."""
    return DeliveryDocument(
        number=message.number,
        id=message.id,
        endpoint=message.endpoint,
        subject=message.subject,
        type=message.type,
        camera=message.camera,
        state=message.state,
        attempts=message.attempts,
        created=iso_time(message.created_wall_s),
        due=iso_time(message.due_wall_s),
        settled=optional_time(message.settled_wall_s),
        last_error=message.last_error and mask_credentials(message.last_error),
    )


def attempt_document(attempt: Attempt) -> AttemptDocument:
    """One attempt at a message."""
    error = attempt.error and mask_credentials(attempt.error)
    return AttemptDocument(
        at=iso_time(attempt.at_wall_s), status=attempt.status, latency_ms=round(1000 * attempt.latency_s, 1), error=error
    )


def job_document(job: Job) -> JobDocument:
    """Work that was asked for."""
    return JobDocument(
        id=job.id,
        kind=job.kind,
        subject=job.subject,
        state=job.state,
        share=job.share,
        asked=iso_time(job.asked_wall_s),
        began=optional_time(job.began_wall_s),
        ended=optional_time(job.ended_wall_s),
        command=mask_credentials(" ".join(("streamwatch", *job.arguments))),
        lines=list(job.lines),
    )
