"""Events: listing, their evidence, and what people say of them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from streamwatch.enums import Severity
from streamwatch.errors import UsageError
from streamwatch.evidence.layout import path_of
from streamwatch.records import Event
from streamwatch.store.event_store import EventQuery, write_note
from streamwatch.store.export import exported
from streamwatch.web.access.principals import OPERATOR, VIEWER
from streamwatch.web.api.answers.bytes import file_answer
from streamwatch.web.api.answers.paging import MAX_PAGE, event_cursor, link_next, without_nul
from streamwatch.web.api.answers.present import SHOWN, delivery_document, job_document, stored_event
from streamwatch.web.api.documents.deliveries import DeliveryDocument
from streamwatch.web.api.documents.events import (
    BulkLabelRequest,
    EventDocument,
    Labelled,
    LabelRequest,
    NearMiss,
    NoteRequest,
)
from streamwatch.web.api.near_misses import near_misses
from streamwatch.web.context import Site, SiteContext
from streamwatch.web.jobs import Job
from streamwatch.web.problems import Problem, not_found

router = APIRouter(tags=["events"])
EventId = Annotated[str, Path(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
FILES: dict[int | str, dict[str, Any]] = {
    200: {"content": {media_type: {} for media_type in sorted(set(SHOWN.values()))}},
    206: {"description": "the part that was asked for"},
    304: {"description": "you have it"},
}


class EventFilter(BaseModel):
    """Which events; what is not given is not asked."""

    model_config = ConfigDict(extra="forbid")
    camera: Annotated[str, AfterValidator(without_nul)] | None = Field(None, max_length=255)
    severity: Severity | None = None
    state: Literal["open", "ended"] | None = None
    label: Literal["normal", "anomaly"] | None = None
    since: str | None = Field(None, description="RFC 3339", max_length=40)
    until: str | None = Field(None, description="RFC 3339", max_length=40)
    limit: int = Field(60, ge=1, le=MAX_PAGE)
    cursor: str | None = Field(None, max_length=200)


class ExportFilter(EventFilter):
    """The same, and in which form."""

    format: Literal["csv", "json"] = "csv"


EXPORTED: dict[int | str, dict[str, Any]] = {200: {"content": {"text/csv": {}, "application/json": {}}}}


@router.get("/events", dependencies=[VIEWER])
def list_events(
    request: Request, response: Response, site: Site, asked: Annotated[EventFilter, Query()]
) -> list[EventDocument]:
    """The newest first; the `Link` header says where the next page is."""
    found = site.stores.events.list_events(_query(asked))
    if len(found) == asked.limit:
        link_next(request, response, [found[-1].start_wall_s, found[-1].id])
    return [shown_event(site, event) for event in found]


@router.get("/events/export", dependencies=[VIEWER], responses=EXPORTED, response_class=StreamingResponse)
def export_events(site: Site, asked: Annotated[ExportFilter, Query()]) -> StreamingResponse:
    """All events of a filter with their labels and notes, as one file; `limit` is how many are read at a time."""
    parts, form = exported(site.stores.events, _query(asked), asked.format), asked.format
    headers = {"Content-Disposition": f'attachment; filename="events.{form}"'}
    return StreamingResponse(parts, media_type="text/csv" if form == "csv" else "application/json", headers=headers)


@router.get("/events/{event_id}", dependencies=[VIEWER])
def get_event(event_id: EventId, site: Site) -> EventDocument:
    """One event."""
    return shown_event(site, find_event(site, event_id))


@router.get("/events/{event_id}/evidence/{kind}", dependencies=[VIEWER], responses=FILES, response_class=Response)
def get_evidence(event_id: EventId, kind: str, request: Request, site: Site) -> Response:
    """A file of an event; players may ask for parts of a clip."""
    path = path_of(site.folder, kind, event_id) if kind in SHOWN else None
    if path is None or not path.is_file():
        raise not_found(f"{kind} of event {event_id}")
    return file_answer(request, path, SHOWN[kind])


@router.get("/events/{event_id}/deliveries", dependencies=[VIEWER])
def get_event_deliveries(event_id: EventId, site: Site) -> list[DeliveryDocument]:
    """Whom it was told, and what became of that."""
    find_event(site, event_id)
    return [delivery_document(message) for message in site.stores.outbox.list_messages(subject=event_id)]


@router.put("/events/{event_id}/label", dependencies=[OPERATOR])
def put_label(event_id: EventId, asked: LabelRequest, site: Site) -> Labelled:
    """Say what it was. What is called normal is taught to the camera's model by a job; anything else takes that back."""
    return label_events(site, [find_event(site, event_id)], asked.label)


@router.post("/events/labels", dependencies=[OPERATOR])
def post_labels(asked: BulkLabelRequest, site: Site) -> Labelled:
    """Say what many were."""
    return label_events(site, [find_event(site, event_id) for event_id in dict.fromkeys(asked.ids)], asked.label)


@router.put("/events/{event_id}/note", dependencies=[OPERATOR])
def put_note(event_id: EventId, asked: NoteRequest, site: Site) -> EventDocument:
    """Write down what else there is to say of it."""
    event = find_event(site, event_id)
    write_note(site.stores.database, event.id, asked.note or None)
    return get_event(event_id, site)


@router.get("/near-misses", dependencies=[VIEWER])
def list_near_misses(
    site: Site,
    camera: Annotated[str | None, Query(max_length=255)] = None,
    since: Annotated[str | None, Query(description="RFC 3339", max_length=40)] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 100,
) -> list[NearMiss]:
    """What came to at least 60 % of its threshold and did not cross it, the newest first."""
    cameras = [site.require_camera(camera)] if camera is not None else list(site.config().cameras)
    return near_misses(site, cameras, unix_time(since) or 0.0)[:limit]


def _query(asked: EventFilter) -> EventQuery:
    return EventQuery(
        camera=asked.camera,
        severity=asked.severity,
        state=asked.state,
        label=asked.label,
        since_s=unix_time(asked.since),
        until_s=unix_time(asked.until),
        before=event_cursor(asked.cursor) if asked.cursor else None,
        limit=asked.limit,
    )


def shown_event(site: SiteContext, event: Event) -> EventDocument:
    """An event with what is known of it, here and elsewhere."""
    return stored_event(event, site.folder, of_others=site.may_be_of_others(event.camera, event.start_wall_s))


def find_event(site: SiteContext, event_id: str) -> Event:
    """A stored event.

    Raises:
        Problem: 404, there is none.
    """
    if len(event_id) != 36:
        raise not_found(f"event {event_id}")
    try:
        return site.stores.events.find(event_id)
    except UsageError:
        raise not_found(f"event {event_id}") from None


def label_events(site: SiteContext, events: list[Event], label: str) -> Labelled:
    """Write labels down, and have the models learn or forget them."""
    said = None if label == "none" else label
    if site.control and not site.control.jobs.has_room(len(events)):
        raise Problem(503, "too many jobs wait already; label them later", headers={"Retry-After": "60"})
    for event in events:
        site.stores.events.label(event.id, said)
    jobs = [_teaching(site, event, label) for event in events]
    return Labelled(ids=[event.id for event in events], label=said, jobs=[job_document(job) for job in jobs if job])


def _teaching(site: SiteContext, event: Event, label: str) -> Job | None:
    """What has the model learn, or forget; None where there is nothing to do, or nobody who could."""
    if site.control is None or (label != "normal" and event.label != "normal"):
        return None
    arguments = ("events", "label", "-c", str(site.control.editor.path), event.id, label)
    return site.control.jobs.ask("teach" if label == "normal" else "forget", event.camera, arguments)


def unix_time(text: str | None) -> float | None:
    """RFC 3339 as Unix seconds.

    Raises:
        Problem: 422, it is none.
    """
    if text is None:
        return None
    problem = Problem(422, f"{text[:40]!r} is no time like 2026-03-01T02:14:09Z")
    try:
        moment = datetime.fromisoformat(text)
        seconds = moment.timestamp()
    except (ValueError, OverflowError):
        raise problem from None
    if moment.tzinfo is None:
        raise problem
    return seconds
