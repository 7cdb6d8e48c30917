"""The site as a whole."""

from __future__ import annotations

from pydantic import BaseModel, Field

from streamwatch.web.api.documents.common import TIME, example


class CapacityDocument(BaseModel):
    """What this machine scores now, and what that leaves room for; of the last minute."""

    model_config = example(
        cameras=12,
        asked_per_s=60.0,
        scored_per_s=59.9,
        busy_share=0.42,
        frames_per_busy_s=143.0,
        batch_frames=6.1,
        room_for_cameras=16,
    )
    cameras: int
    asked_per_s: float
    scored_per_s: float
    busy_share: float
    frames_per_busy_s: float | None
    batch_frames: float
    room_for_cameras: int | None = Field(description="more like these; null before anything was scored")


class ShardDocument(BaseModel):
    """One of the processes that share a site's cameras."""

    model_config = example(
        shard="0/3",
        host="watch-1",
        address="http://10.0.0.11:8466",
        version="1.0.0",
        began=TIME,
        cameras=["loading-dock"],
        capacity=None,
        here=False,
    )
    shard: str
    host: str = Field(description="the machine that it runs on")
    address: str | None = Field(description="where its site is; null for this process, or if it cannot be reached from here")
    version: str
    began: str
    cameras: list[str]
    capacity: CapacityDocument | None
    here: bool = Field(description="it is the process that answers")


class SummaryDocument(BaseModel):
    """The site in a few numbers."""

    model_config = example(
        cameras=12,
        states={"running": 11, "offline": 1},
        received=1000,
        scored=990,
        drops={"stale": 10},
        disconnects={},
        open_events=1,
        pending_messages=0,
        dead_messages=0,
    )
    cameras: int
    states: dict[str, int]
    received: int
    scored: int
    drops: dict[str, int]
    disconnects: dict[str, int]
    open_events: int
    pending_messages: int
    dead_messages: int


class DiskDocument(BaseModel):
    """What is where on the disk."""

    model_config = example(evidence_bytes={"clips": 10**9}, free_bytes=10**11, total_bytes=10**12)
    evidence_bytes: dict[str, int]
    free_bytes: int
    total_bytes: int


class SystemDocument(BaseModel):
    """What runs here."""

    model_config = example(
        versions={"streamwatch": "1.0.0"},
        device="cpu",
        began=TIME,
        data_dir="streamwatch-data",
        disk={"evidence_bytes": {}, "free_bytes": 1, "total_bytes": 2},
    )
    versions: dict[str, str]
    device: str
    began: str
    data_dir: str
    disk: DiskDocument


class AuditEntry(BaseModel):
    """Something that somebody did."""

    model_config = example(
        number=7,
        at=TIME,
        who="anna's phone",
        role="operator",
        address="10.0.0.9",
        action="PUT /api/v1/events/0199a7c2/label",
        status=200,
    )
    number: int
    at: str
    who: str
    role: str
    address: str
    action: str
    status: int
