"""What cameras held while they were watched, from which the daemon goes on calibrating."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "live_peaks",
        sa.Column("camera", sa.String(255), primary_key=True),
        sa.Column("regime", sa.String(16), primary_key=True),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("watched", sa.JSON, nullable=False),
        sa.Column("applied", sa.JSON, nullable=False),
        sa.Column("earlier", sa.JSON, nullable=False),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("live_peaks")
