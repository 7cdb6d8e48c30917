"""Severity, provisional thresholds and labels, and an index for every question that is asked of a million events."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_LABELLED = sa.text("label IS NOT NULL")


def upgrade() -> None:
    """Add the columns and indices."""
    op.add_column("events", sa.Column("severity", sa.String(16), nullable=False, server_default="warning"))
    op.add_column("events", sa.Column("provisional", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("events", sa.Column("label", sa.String(16)))
    op.drop_index("events_by_start", "events")
    op.drop_index("events_by_camera", "events")
    op.create_index("events_by_start", "events", ["start_wall_s", "id"])
    op.create_index("events_by_camera", "events", ["camera", "start_wall_s", "id"])
    op.create_index("events_by_severity", "events", ["severity", "start_wall_s", "id"])
    op.create_index("events_by_camera_and_severity", "events", ["camera", "severity", "start_wall_s", "id"])
    op.create_index("events_by_end", "events", ["end_wall_s", "start_wall_s", "id"])
    op.create_index("events_by_camera_and_end", "events", ["camera", "end_wall_s", "start_wall_s", "id"])
    columns = ["label", "start_wall_s", "id"]
    op.create_index("events_labelled", "events", columns, sqlite_where=_LABELLED, postgresql_where=_LABELLED)


def downgrade() -> None:
    """Take them away again."""
    for name in ("labelled", "by_camera_and_end", "by_end", "by_camera_and_severity", "by_severity"):
        op.drop_index(f"events_{name}", "events")
    op.drop_index("events_by_camera", "events")
    op.drop_index("events_by_start", "events")
    op.create_index("events_by_start", "events", ["start_wall_s"])
    op.create_index("events_by_camera", "events", ["camera", "start_wall_s"])
    for column in ("label", "provisional", "severity"):
        op.drop_column("events", column)
