"""The tables, as SQLAlchemy Core; migrations/ brings a database to this form."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Float, Index, MetaData, String, Table

metadata = MetaData()

events = Table(
    "events",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("camera", String(255), nullable=False),
    Column("zone", String(255), nullable=False),
    Column("start_wall_s", Float(53), nullable=False),
    Column("start_time_s", Float(53), nullable=False),
    Column("end_wall_s", Float(53)),
    Column("end_time_s", Float(53)),
    Column("peak_score", Float(53), nullable=False),
    Column("peak_wall_s", Float(53), nullable=False),
    Column("peak_time_s", Float(53), nullable=False),
    Column("boxes", JSON, nullable=False),
    Column("start_threshold", Float(53), nullable=False),
    Column("end_threshold", Float(53), nullable=False),
    Column("reason", String(32)),
    Column("predecessor_id", String(36)),
    Column("fields", JSON, nullable=False, server_default="{}"),
    Index("events_by_start", "start_wall_s"),
    Index("events_by_camera", "camera", "start_wall_s"),
)

notices = Table(
    "notices",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("type", String(64), nullable=False),
    Column("camera", String(255), nullable=False),
    Column("at_wall_s", Float(53), nullable=False),
    Column("detail", JSON, nullable=False),
    Index("notices_by_time", "at_wall_s"),
)
