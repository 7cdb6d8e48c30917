"""Setting cameras up: a test picture, a new camera that is learned from its own stream, its zones and its budget."""

from __future__ import annotations

import re
import threading
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Response

from streamwatch.config.editing import AlreadyThere
from streamwatch.errors import UsageError
from streamwatch.masking import remember, split_user_info
from streamwatch.web.access.principals import ADMIN
from streamwatch.web.api.answers.present import job_document
from streamwatch.web.api.configuration import IfMatch, conflict_if_changed, tag_in
from streamwatch.web.api.documents.models import LearnRequest
from streamwatch.web.api.documents.setup import Added, CameraChange, ConfigTag, Credentials, NewCamera, ProbeRequest
from streamwatch.web.api.models import live_s, start_learning
from streamwatch.web.api.probing import first_picture
from streamwatch.web.context import Control, Site
from streamwatch.web.problems import Problem

router = APIRouter(tags=["set-up"])
_probing = threading.BoundedSemaphore(2)
_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*://)(.*)$", re.DOTALL)


@router.post("/probe", dependencies=[ADMIN], response_class=Response, responses={200: {"content": {"image/jpeg": {}}}})
def probe(asked: ProbeRequest, site: Site) -> Response:
    """The first picture of a source, as JPEG; 502 and why, if there is none."""
    credentials = asked.credentials
    source = asked.source
    if credentials:
        remember(credentials.password)
        source = with_credentials(source, quote(credentials.user, safe=""), quote(credentials.password, safe=""))
    if not _probing.acquire(blocking=False):
        raise Problem(503, "another test picture is being taken", headers={"Retry-After": "5"})
    try:
        return Response(first_picture(source, site.config().defaults), media_type="image/jpeg")
    finally:
        _probing.release()


@router.post("/cameras", dependencies=[ADMIN], status_code=201)
def add_camera(asked: NewCamera, site: Site) -> Added:
    """Add a camera to the configuration file, and have it learned; it is watched when that is done."""
    control = site.require_control()
    learning = None if asked.learn is None and not asked.normal else LearnRequest(live=None if asked.normal else asked.learn)
    if learning:
        live_s(learning)
    camera: dict[str, Any] = {"source": asked.source, "enabled": False}
    camera |= {"normal": list(asked.normal)} if asked.normal else {}
    try:
        tag = control.editor.change_camera(asked.name, camera, new=True)  # valid, and nobody else's, before a secret is kept
        if asked.credentials:
            kept = _kept_source(control, asked.name, asked.source, asked.credentials)
            tag = control.editor.change_camera(asked.name, {"source": kept})
    except AlreadyThere as error:
        raise Problem(409, str(error)) from None
    job = start_learning(site, asked.name, learning, enable=True) if learning else None
    return Added(name=asked.name, tag=tag, job=job_document(job) if job else None)


@router.patch("/cameras/{camera}", dependencies=[ADMIN])
def change_camera(camera: str, asked: CameraChange, site: Site, if_match: IfMatch = None) -> ConfigTag:
    """Set keys of a camera in the configuration file, its comments kept; the daemon takes it up within a second.

    With `If-Match: "TAG"` only if the file is still the one that has this tag: 412 otherwise.
    """
    site.require_camera(camera)
    patch = asked.model_dump(exclude_unset=True, mode="json")
    with conflict_if_changed():
        return ConfigTag(tag=site.require_control().editor.change_camera(camera, patch, tag_in(if_match)))


@router.delete("/cameras/{camera}", dependencies=[ADMIN])
def remove_camera(camera: str, site: Site, if_match: IfMatch = None) -> ConfigTag:
    """Take a camera out of the configuration file; its model and its events stay."""
    site.require_camera(camera)
    with conflict_if_changed():
        return ConfigTag(tag=site.require_control().editor.remove_camera(camera, tag_in(if_match)))


def _kept_source(control: Control, camera: str, source: str, credentials: Credentials) -> str:
    """How the source is written in the configuration: with the name of a secret in the place of a password."""
    plain = with_credentials(source, quote(credentials.user, safe=""), "x")  # it is a URL, or refused, before anything is kept
    return plain.replace(":x@", f":{control.editor.keep_secret(camera, credentials.password)}@", 1)


def with_credentials(source: str, user: str, password: str) -> str:
    """A URL with a user and a password, both as they are to stand there.

    Raises:
        UsageError: it is no URL.
    """
    found = _SCHEME.match(source)
    if found is None:
        raise UsageError("credentials belong to a URL", hint="give the source as rtsp://HOST/PATH")
    return f"{found[1]}{user}:{password}@{split_user_info(found[2])[1]}"
