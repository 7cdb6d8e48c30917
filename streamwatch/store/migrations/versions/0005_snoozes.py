"""Cameras whose events are switched off for a while."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "snoozes",
        sa.Column("camera", sa.String(255), primary_key=True),
        sa.Column("until_wall_s", sa.Float(53), nullable=False),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("snoozes")
