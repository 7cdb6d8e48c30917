"""The events table."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table and its indexes."""
    op.create_table(
        "events",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("camera", sa.String(255), nullable=False),
        sa.Column("zone", sa.String(255), nullable=False),
        *(sa.Column(name, sa.Float(53), nullable=False) for name in ("start_wall_s", "start_time_s")),
        *(sa.Column(name, sa.Float(53)) for name in ("end_wall_s", "end_time_s")),
        *(sa.Column(name, sa.Float(53), nullable=False) for name in ("peak_score", "peak_wall_s", "peak_time_s")),
        sa.Column("boxes", sa.JSON, nullable=False),
        *(sa.Column(name, sa.Float(53), nullable=False) for name in ("start_threshold", "end_threshold")),
        sa.Column("reason", sa.String(32)),
        sa.Column("predecessor_id", sa.String(36)),
    )
    op.create_index("events_by_start", "events", ["start_wall_s"])
    op.create_index("events_by_camera", "events", ["camera", "start_wall_s"])


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("events")
