"""Cameras: what they do, what they see, and switching their events off for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from streamwatch.config.units import parse_duration_s
from streamwatch.errors import UnusablePicture
from streamwatch.store.snoozes import list_snoozes, set_snooze
from streamwatch.web.access.principals import OPERATOR, VIEWER
from streamwatch.web.api.answers.bytes import picture_answer
from streamwatch.web.api.answers.present import camera_document, snoozed_until
from streamwatch.web.api.budgets import budget_choices
from streamwatch.web.api.documents.cameras import BudgetsDocument, CameraDocument, LevelPoint, LevelsDocument, Snooze
from streamwatch.web.context import Site, SiteContext
from streamwatch.web.live.cameras import CameraNow
from streamwatch.web.live.pictures import Shown
from streamwatch.web.problems import Problem, not_found

router = APIRouter(prefix="/cameras", tags=["cameras"])
FIRST_PICTURE_WITHIN_S, LOOK_EVERY_S = 3.0, 0.05
MAX_SNOOZE_S = 366 * 86_400.0
Responses = dict[int | str, dict[str, Any]]
PICTURE: Responses = {200: {"content": {"image/jpeg": {}}}, 304: {"description": "you have it"}}
HEAT: Responses = {200: {"content": {"image/png": {}}}, 304: {"description": "you have it"}}


def watched(site: SiteContext, camera: str) -> CameraNow | None:
    """What a camera does; None for one that is not watched."""
    if site.live is None:
        return None
    return next((now for now in site.live.cameras.all() if now.name == camera), None)


def all_cameras(site: SiteContext) -> list[CameraDocument]:
    """Every camera of the configuration, whichever process watches it."""
    here, elsewhere = {camera.name: camera for camera in own_cameras(site)}, cameras_elsewhere(site)
    snoozed, config, now_s = list_snoozes(site.stores.database), site.config(), site.clock.wall_s()
    return [
        here.get(name) or elsewhere.get(name) or camera_document(config, name, None, snoozed, now_s) for name in config.cameras
    ]


def own_cameras(site: SiteContext) -> list[CameraDocument]:
    """Those that this process watches."""
    snoozed, config, now_s = list_snoozes(site.stores.database), site.config(), site.clock.wall_s()
    known = site.live.cameras.all() if site.live else []
    return [
        camera_document(config, now.name, now, snoozed, now_s, shard=site.shard) for now in known if now.name in config.cameras
    ]


def cameras_elsewhere(site: SiteContext) -> Mapping[str, CameraDocument]:
    """Those that other processes watch, as they say; what is switched off is known here."""
    if site.others is None:
        return {}
    snoozed, now_s = list_snoozes(site.stores.database), site.clock.wall_s()
    return {
        name: camera.model_copy(update={"snoozed_until": snoozed_until(snoozed, name, now_s)})
        for name, camera in site.others.cameras().items()
    }


@router.get("", dependencies=[VIEWER])
def list_cameras(site: Site) -> list[CameraDocument]:
    """All cameras of the configuration, and what those that are watched do now."""
    return all_cameras(site)


@router.get("/{camera}", dependencies=[VIEWER])
def get_camera(camera: str, site: Site) -> CameraDocument:
    """One camera."""
    name, config = site.require_camera(camera), site.config()
    snoozed, now = list_snoozes(site.stores.database), watched(site, name)
    elsewhere = None if now else cameras_elsewhere(site).get(name)
    return elsewhere or camera_document(config, name, now, snoozed, site.clock.wall_s(), shard=site.shard)


@router.get("/{camera}/picture", dependencies=[VIEWER], responses=PICTURE, response_class=Response)
async def get_picture(
    camera: str, request: Request, site: Site, width: Annotated[int, Query(ge=1, le=10_000)] = 640
) -> Response:
    """The newest picture as JPEG, with what is private blacked out; ask again with its ETag for the next one."""
    return await _live_picture(camera, request, site, lambda: site.require_live().pictures.picture(camera, width))


@router.get("/{camera}/heat", dependencies=[VIEWER], responses=HEAT, response_class=Response)
async def get_heat(camera: str, request: Request, site: Site) -> Response:
    """The newest map of levels as PNG, transparent where nothing is unusual, to be laid over the picture."""
    return await _live_picture(camera, request, site, lambda: site.require_live().pictures.heat(camera))


async def _live_picture(camera: str, request: Request, site: SiteContext, make: Callable[[], Shown | None]) -> Response:
    pictures = site.require_live().pictures
    if await run_in_threadpool(watched, site, camera) is None:
        raise not_found(f"camera {camera!r} that is watched now")
    for _ in range(round(FIRST_PICTURE_WITHIN_S / LOOK_EVERY_S)):
        if pictures.want(camera):
            break
        await asyncio.sleep(LOOK_EVERY_S)
    try:
        shown = await run_in_threadpool(make)
    except (UnusablePicture, OSError) as error:
        raise Problem(503, f"the picture cannot be made ({error})") from error
    if shown is None:
        raise Problem(503, f"camera {camera} gives no picture now", headers={"Retry-After": "2"})
    return picture_answer(request, shown)


@router.get("/{camera}/levels", dependencies=[VIEWER])
def get_levels(camera: str, site: Site, since: Annotated[float, Query(description="Unix seconds")] = 0.0) -> LevelsDocument:
    """How its level and its fields went in the last minutes, beside their thresholds."""
    name, live = site.require_camera(camera), site.require_live()
    now = watched(site, name)
    thresholds = {field.name: field.threshold for field in now.fields} if now else {}
    points = [
        LevelPoint(at=round(point.wall_s, 3), level=round(point.level, 4), fields={n: round(v, 3) for n, v in point.fields})
        for point in live.levels.points(name, since)
    ]
    return LevelsDocument(camera=name, threshold=now.threshold if now else None, field_thresholds=thresholds, points=points)


@router.get("/{camera}/budgets", dependencies=[VIEWER])
def get_budgets(camera: str, site: Site, days: Annotated[int, Query(ge=1, le=365)] = 7) -> BudgetsDocument:
    """How many alarms were raised in the last days, and each budget would have, by what the camera held while watched."""
    return budget_choices(site, site.require_camera(camera), days)


@router.put("/{camera}/snooze", dependencies=[OPERATOR])
def snooze(camera: str, asked: Snooze, site: Site) -> CameraDocument:
    """Raise no events of it for a while; it is watched on, and tampering and silence are told."""
    try:
        duration_s = parse_duration_s(asked.duration)
    except ValueError as error:
        raise Problem(422, f"duration: {error}") from None
    if not 0 < duration_s <= MAX_SNOOZE_S:
        raise Problem(422, "duration: must be more than nothing, and a year at most")
    set_snooze(site.stores.database, site.require_camera(camera), site.clock.wall_s() + duration_s)
    return get_camera(camera, site)


@router.delete("/{camera}/snooze", dependencies=[OPERATOR])
def end_snooze(camera: str, site: Site) -> CameraDocument:
    """Raise its events again."""
    set_snooze(site.stores.database, site.require_camera(camera), None)
    return get_camera(camera, site)
