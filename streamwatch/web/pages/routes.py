"""The pages; each is a frame that its script fills from the API, and says without one what it is about."""

from __future__ import annotations

import re

from fastapi import APIRouter, Request, Response

from streamwatch.enums import CameraState, Severity
from streamwatch.evidence.layout import KINDS, path_of
from streamwatch.web.access.principals import ADMIN, OPERATOR, VIEWER
from streamwatch.web.api.answers.bytes import file_answer
from streamwatch.web.api.answers.present import SHOWN
from streamwatch.web.api.events import find_event, shown_event
from streamwatch.web.context import Site
from streamwatch.web.pages.rendering import render
from streamwatch.web.problems import not_found

router = APIRouter(include_in_schema=False)
_ID = re.compile(r"^[0-9a-f-]{36}$")


@router.get("/", dependencies=[VIEWER])
def live(request: Request, site: Site) -> Response:
    """All cameras; the events, where nothing is watched."""
    if site.live is None:
        return events(request, site)
    return render(request, site, "live.html.j2", cameras=list(site.config().cameras))


@router.get("/cameras/{camera}", dependencies=[VIEWER])
def camera_page(camera: str, request: Request, site: Site) -> Response:
    """One camera, as large as the window."""
    return render(request, site, "camera.html.j2", camera=site.require_camera(camera))


@router.get("/events", dependencies=[VIEWER])
def events(request: Request, site: Site) -> Response:
    """What happened."""
    cameras = list(site.config().cameras)
    return render(request, site, "events.html.j2", cameras=cameras, severities=list(Severity))


@router.get("/events/{event_id}", dependencies=[VIEWER])
def event_page(event_id: str, request: Request, site: Site) -> Response:
    """One event."""
    event = find_event(site, event_id)
    return render(request, site, "event.html.j2", event=shown_event(site, event).model_dump(mode="json"))


@router.get("/deliveries", dependencies=[VIEWER])
def deliveries(request: Request, site: Site) -> Response:
    """Who is told, and what became of it."""
    return render(request, site, "deliveries.html.j2")


@router.get("/system", dependencies=[VIEWER])
def system(request: Request, site: Site) -> Response:
    """What runs here."""
    return render(request, site, "system.html.j2", states=list(CameraState))


@router.get("/setup", dependencies=[ADMIN])
def setup(request: Request, site: Site) -> Response:
    """Cameras are added here."""
    control = site.control
    writable = control is not None and control.editor.writable()
    return render(request, site, "setup.html.j2", controlled=control is not None, writable=writable)


@router.get("/setup/{camera}", dependencies=[ADMIN])
def setup_camera(camera: str, request: Request, site: Site) -> Response:
    """A camera's zones and its budget."""
    return render(request, site, "setup_camera.html.j2", camera=site.require_camera(camera))


@router.get("/review", dependencies=[OPERATOR])
def review(request: Request, site: Site) -> Response:
    """Events one after the other, by keyboard."""
    return render(request, site, "review.html.j2", cameras=list(site.config().cameras))


@router.get("/{kind}/{name}", dependencies=[VIEWER])
def evidence(kind: str, name: str, request: Request, site: Site) -> Response:
    """A file of an event by the address that messages of earlier versions name."""
    event_id, dot, ending = name.partition(".")
    known = kind in SHOWN and dot + ending == KINDS[kind] and _ID.match(event_id) is not None
    path = path_of(site.folder, kind, event_id) if known else None
    if path is None or not path.is_file():
        raise not_found("such page")
    return file_answer(request, path, SHOWN[kind])
