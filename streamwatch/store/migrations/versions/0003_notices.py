"""Notices: cameras that went offline or were tampered with."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table and its index."""
    op.create_table(
        "notices",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("camera", sa.String(255), nullable=False),
        sa.Column("at_wall_s", sa.Float(53), nullable=False),
        sa.Column("detail", sa.JSON, nullable=False),
    )
    op.create_index("notices_by_time", "notices", ["at_wall_s"])


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("notices")
