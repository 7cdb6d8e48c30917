"""The site as a whole: its figures, what it has room for, what runs where, and who did what."""

from __future__ import annotations

import shutil
import socket
import sys
from collections import Counter
from importlib import metadata
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from streamwatch import __version__
from streamwatch.config.schema import Config
from streamwatch.documents import iso_time
from streamwatch.evidence.layout import KINDS
from streamwatch.store.audit import list_actions
from streamwatch.store.event_store import count_open
from streamwatch.web.access.principals import ADMIN, VIEWER, Principal
from streamwatch.web.api.answers.paging import MAX_PAGE, link_next, number_cursor
from streamwatch.web.api.cameras import all_cameras, own_cameras
from streamwatch.web.api.documents.common import Me
from streamwatch.web.api.documents.system import (
    AuditEntry,
    CapacityDocument,
    DiskDocument,
    ShardDocument,
    SummaryDocument,
    SystemDocument,
)
from streamwatch.web.context import LiveView, Site, SiteContext
from streamwatch.web.sharing.others import OtherProcess

router = APIRouter(tags=["system"])
LIBRARIES = ("torch", "torchvision", "av", "opencv-python", "opencv-python-headless", "numpy", "fastapi", "SQLAlchemy")
HEADROOM = 0.8
"""Of the device's time: beyond it a batch waits for the one before."""


@router.get("/me", dependencies=[VIEWER])
def get_me(request: Request) -> Me:
    """Who you are, and what you may do."""
    principal: Principal = request.state.principal
    return Me(name=principal.name, role=principal.role)


@router.get("/summary", dependencies=[VIEWER])
def get_summary(site: Site) -> SummaryDocument:
    """The site in a few numbers, of all its processes, each since its start."""
    cameras = [camera for camera in all_cameras(site) if camera.state is not None]
    drops, disconnects = Counter[str](), Counter[str]()
    for camera in cameras:
        drops.update(camera.drops)
        disconnects.update(camera.disconnects)
    depths = site.stores.outbox.depths().values()
    return SummaryDocument(
        cameras=len(cameras),
        states=dict(Counter(str(camera.state) for camera in cameras)),
        received=sum(camera.received for camera in cameras),
        scored=sum(camera.scored for camera in cameras),
        drops=dict(drops),
        disconnects=dict(disconnects),
        open_events=count_open(site.stores.database),
        pending_messages=sum(depth.pending for depth in depths),
        dead_messages=sum(depth.dead for depth in depths),
    )


@router.get("/capacity", dependencies=[VIEWER])
def get_capacity(site: Site) -> CapacityDocument:
    """What this machine scores now, and what that leaves room for; `streamwatch bench` measures what it could."""
    return capacity_of(site, site.require_live())


@router.get("/shards", dependencies=[VIEWER])
def list_shards(site: Site) -> list[ShardDocument]:
    """The processes that share the site's cameras, this one first; none where one watches them all."""
    if site.shard is None or site.others is None:
        return []
    capacity = capacity_of(site, site.live) if site.live else None
    cameras = {camera.name: camera for camera in own_cameras(site)}
    own = OtherProcess(
        site.others.own, site.shard, socket.gethostname(), None, __version__, site.began_wall_s, cameras, capacity
    )
    return [_shard_document(own, here=True), *(_shard_document(process, here=False) for process in site.others.all())]


def _shard_document(process: OtherProcess, *, here: bool) -> ShardDocument:
    return ShardDocument(
        shard=process.shard,
        host=process.host,
        address=process.address,
        version=process.version,
        began=iso_time(process.began_wall_s),
        cameras=sorted(process.cameras),
        capacity=process.capacity,
        here=here,
    )


def capacity_of(site: SiteContext, live: LiveView) -> CapacityDocument:
    """What this process scores now, and what that leaves room for."""
    cameras, load, config = live.cameras.all(), live.load.now(), site.config()
    asked_per_s = sum(asked for camera in cameras if (asked := asked_rate(config, live, camera.name)) is not None)
    usual = config.defaults.fps
    each_per_s = asked_per_s / len(cameras) if cameras else (0.0 if usual == "native" else float(usual))
    room = None
    if load.frames_per_busy_s and each_per_s:
        room = max(int((HEADROOM * load.frames_per_busy_s - load.frames_per_s) / each_per_s), 0)
    return CapacityDocument(
        cameras=len(cameras),
        asked_per_s=round(asked_per_s, 1),
        scored_per_s=round(load.frames_per_s, 1),
        busy_share=round(load.busy_share, 3),
        frames_per_busy_s=round(load.frames_per_busy_s, 1) if load.frames_per_busy_s else None,
        batch_frames=round(load.batch_frames, 1),
        room_for_cameras=room,
    )


def asked_rate(config: Config, live: LiveView, camera: str) -> float | None:
    """Frames a second that are to be scored of a camera; of one that gives every frame, as many as it gave lately."""
    if camera not in config.cameras:
        return None
    fps = config.settings(camera).fps
    return live.levels.rate_per_s(camera) if fps == "native" else float(fps)


@router.get("/system", dependencies=[VIEWER])
def get_system(site: Site) -> SystemDocument:
    """Versions, device, and what is where on the disk."""
    return SystemDocument(
        versions=versions(),
        device=site.config().device,
        began=iso_time(site.began_wall_s),
        data_dir=site.folder.name,
        disk=site.disk.get(lambda: disk_of(site)),
    )


@router.get("/audit", dependencies=[ADMIN])
def list_audit(
    request: Request,
    response: Response,
    site: Site,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 100,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
) -> list[AuditEntry]:
    """Who did what through page and API, the newest first."""
    found = list_actions(site.stores.database, limit=limit, before=number_cursor(cursor) if cursor else None)
    if len(found) == limit:
        link_next(request, response, found[-1][0])
    return [
        AuditEntry(
            number=number,
            at=iso_time(action.at_wall_s),
            who=action.who,
            role=action.role,
            address=action.address,
            action=action.action,
            status=action.status,
        )
        for number, action in found
    ]


def versions() -> dict[str, str]:
    """Of what runs."""
    found = {"streamwatch": __version__, "python": sys.version.split()[0]}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def disk_of(site: SiteContext) -> DiskDocument:
    """What evidence takes, by kind, and what is free where it lies."""
    sizes = {kind: sum(_size(path) for path in (site.folder / kind).glob("*")) for kind in KINDS}
    usage = shutil.disk_usage(site.folder if site.folder.is_dir() else site.folder.parent)
    return DiskDocument(evidence_bytes=sizes, free_bytes=usage.free, total_bytes=usage.total)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # it was removed meanwhile
        return 0
