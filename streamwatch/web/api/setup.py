"""Setting cameras up: a test picture, a new camera that is learned from its own stream, its zones and its budget."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Response

from streamwatch.errors import UsageError
from streamwatch.masking import remember, split_user_info
from streamwatch.web.access.principals import ADMIN
from streamwatch.web.api.configuration import conflict_if_changed
from streamwatch.web.api.documents.models import LearnRequest
from streamwatch.web.api.documents.setup import Added, CameraChange, ConfigTag, Credentials, NewCamera, ProbeRequest
from streamwatch.web.api.models import start_learning
from streamwatch.web.api.present import job_document
from streamwatch.web.api.probing import first_picture
from streamwatch.web.context import Control, Site, SiteContext
from streamwatch.web.problems import Problem

router = APIRouter(tags=["set-up"])
_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*://)(.*)$", re.DOTALL)


@router.post("/probe", dependencies=[ADMIN], response_class=Response, responses={200: {"content": {"image/jpeg": {}}}})
def probe(asked: ProbeRequest, site: Site) -> Response:
    """The first picture of a source, as JPEG; 502 and why, if there is none."""
    credentials = asked.credentials
    source = asked.source
    if credentials:
        remember(credentials.password)
        source = with_credentials(source, quote(credentials.user, safe=""), quote(credentials.password, safe=""))
    return Response(first_picture(source, site.config().defaults), media_type="image/jpeg")


@router.post("/cameras", dependencies=[ADMIN], status_code=201)
def add_camera(asked: NewCamera, site: Site) -> Added:
    """Add a camera to the configuration file, and have it learned; it is watched when that is done."""
    control = site.require_control()
    if asked.name in site.config().cameras:
        raise Problem(409, f"there is a camera {asked.name} already")
    camera: dict[str, Any] = {"source": _kept_source(control, asked.name, asked.source, asked.credentials), "enabled": False}
    camera |= {"normal": list(asked.normal)} if asked.normal else {}
    tag = control.editor.change_camera(asked.name, camera)
    if asked.learn is None and not asked.normal:
        return Added(name=asked.name, tag=tag, job=None)
    job = start_learning(site, asked.name, LearnRequest(live=asked.learn if not asked.normal else None))
    job.then = lambda: _watch(control, asked.name)
    return Added(name=asked.name, tag=tag, job=job_document(job))


@router.patch("/cameras/{camera}", dependencies=[ADMIN])
def change_camera(camera: str, asked: CameraChange, site: Site) -> ConfigTag:
    """Set keys of a camera in the configuration file, its comments kept; the daemon takes it up within a second."""
    site.require_camera(camera)
    patch = asked.model_dump(exclude_unset=True, mode="json")
    return ConfigTag(tag=_changed(site, camera, patch))


@router.delete("/cameras/{camera}", dependencies=[ADMIN])
def remove_camera(camera: str, site: Site) -> ConfigTag:
    """Take a camera out of the configuration file; its model and its events stay."""
    site.require_camera(camera)
    return ConfigTag(tag=site.require_control().editor.remove_camera(camera))


def _changed(site: SiteContext, camera: str, patch: Mapping[str, Any]) -> str:
    with conflict_if_changed():
        return site.require_control().editor.change_camera(camera, patch)


def _watch(control: Control, camera: str) -> None:
    control.editor.change_camera(camera, {"enabled": None})


def _kept_source(control: Control, camera: str, source: str, credentials: Credentials | None) -> str:
    """How the source is written in the configuration: with the name of a secret in the place of a password."""
    if credentials is None:
        return source
    password = control.editor.keep_secret(f"{camera}_PASSWORD", credentials.password)
    return with_credentials(source, quote(credentials.user, safe=""), password)


def with_credentials(source: str, user: str, password: str) -> str:
    """A URL with a user and a password, both as they are to stand there.

    Raises:
        UsageError: it is no URL.
    """
    found = _SCHEME.match(source)
    if found is None:
        raise UsageError("credentials belong to a URL", hint="give the source as rtsp://HOST/PATH")
    return f"{found[1]}{user}:{password}@{split_user_info(found[2])[1]}"
