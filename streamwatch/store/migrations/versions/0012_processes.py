"""What each process of a site watches, as it says itself."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "processes",
        sa.Column("name", sa.String(255), primary_key=True),
        sa.Column("shard", sa.String(255), nullable=False),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("address", sa.String(255)),
        sa.Column("version", sa.String(63), nullable=False),
        sa.Column("began_wall_s", sa.Float(53), nullable=False),
        sa.Column("seen_wall_s", sa.Float(53), nullable=False),
        sa.Column("report", sa.JSON, nullable=False),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("processes")
