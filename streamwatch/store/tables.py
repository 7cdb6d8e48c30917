"""The tables, as SQLAlchemy Core; migrations/ brings a database to this form."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Boolean, Column, Float, Index, Integer, LargeBinary, MetaData, String, Table, false

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
    Column("severity", String(16), nullable=False, server_default="warning"),
    Column("provisional", Boolean, nullable=False, server_default=false()),
    Column("label", String(16)),
    Column("why", JSON, nullable=False, server_default="{}"),
    Column("exported", Boolean, nullable=False, server_default=false()),
    Column("note", String(1000)),
    Index("events_by_start", "start_wall_s", "id"),
    Index("events_by_camera", "camera", "start_wall_s", "id"),
    Index("events_by_severity", "severity", "start_wall_s", "id"),
    Index("events_by_end", "end_wall_s", "start_wall_s", "id"),
    Index("events_by_camera_and_end", "camera", "end_wall_s", "start_wall_s", "id"),
    Index("events_by_camera_and_severity", "camera", "severity", "start_wall_s", "id"),
)
Index(
    "events_labelled",
    events.c.label,
    events.c.start_wall_s,
    events.c.id,
    sqlite_where=events.c.label.is_not(None),
    postgresql_where=events.c.label.is_not(None),
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

snoozes = Table(
    "snoozes",
    metadata,
    Column("camera", String(255), primary_key=True),
    Column("until_wall_s", Float(53), nullable=False),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("message_id", String(36), nullable=False),
    Column("endpoint", String(63), nullable=False),
    Column("subject", String(36), nullable=False),
    Column("type", String(64), nullable=False),
    Column("camera", String(255), nullable=False),
    Column("content", JSON, nullable=False),
    Column("created_wall_s", Float(53), nullable=False),
    Column("due_wall_s", Float(53), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("leased_until_wall_s", Float(53)),
    Column("last_error", String(255)),
    Column("settled_wall_s", Float(53)),
    Index("outbox_by_state", "endpoint", "state", "due_wall_s", "id"),
    Index("outbox_by_subject", "endpoint", "subject", "id"),
    Index("outbox_of_subject", "subject", "id"),
    Index("outbox_once", "endpoint", "message_id", unique=True),
    sqlite_autoincrement=True,
)

attempts = Table(
    "attempts",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("outbox_id", Integer, nullable=False),
    Column("at_wall_s", Float(53), nullable=False),
    Column("status", Integer),
    Column("latency_s", Float(53), nullable=False),
    Column("error", String(255)),
    Index("attempts_by_message", "outbox_id", "id"),
)

endpoints = Table(
    "endpoints",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("disabled_wall_s", Float(53), nullable=False),
    Column("reason", String(255), nullable=False),
)

live_peaks = Table(
    "live_peaks",
    metadata,
    Column("camera", String(255), primary_key=True),
    Column("regime", String(16), primary_key=True),
    Column("generation", Integer, nullable=False),
    Column("watched", JSON, nullable=False),
    Column("applied", JSON, nullable=False),
    Column("earlier", JSON, nullable=False),
)

camera_leases = Table(
    "camera_leases",
    metadata,
    Column("camera", String(255), primary_key=True),
    Column("holder", String(255), nullable=False),
    Column("token", BigInteger, nullable=False),
    Column("until_wall_s", Float(53), nullable=False),
)

processes = Table(
    "processes",
    metadata,
    Column("name", String(255), primary_key=True),
    Column("shard", String(255), nullable=False),
    Column("host", String(255), nullable=False),
    Column("address", String(255)),
    Column("version", String(63), nullable=False),
    Column("began_wall_s", Float(53), nullable=False),
    Column("seen_wall_s", Float(53), nullable=False),
    Column("report", JSON, nullable=False),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("name", String(63), nullable=False),
    Column("role", String(16), nullable=False),
    Column("secret_sha256", String(64), nullable=False),
    Column("created_wall_s", Float(53), nullable=False),
    Column("used_wall_s", Float(53)),
    Column("revoked_wall_s", Float(53)),
)

web_sessions = Table(
    "web_sessions",
    metadata,
    Column("secret_sha256", String(64), primary_key=True),
    Column("token_id", String(16), nullable=False),
    Column("expires_wall_s", Float(53), nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at_wall_s", Float(53), nullable=False),
    Column("who", String(63), nullable=False),
    Column("role", String(16), nullable=False),
    Column("address", String(63), nullable=False),
    Column("action", String(255), nullable=False),
    Column("status", Integer, nullable=False),
    sqlite_autoincrement=True,
)

replies = Table(
    "replies",
    metadata,
    Column("who", String(63), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("request_sha256", String(64), nullable=False),
    Column("at_wall_s", Float(53), nullable=False),
    Column("status", Integer),
    Column("headers", JSON),
    Column("body", LargeBinary),
    Index("replies_by_time", "at_wall_s"),
)
