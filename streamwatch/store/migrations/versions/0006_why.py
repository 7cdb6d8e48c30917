"""Why an event was raised: the backbone's levels at its peak, the strongest cell, and the area."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("events", sa.Column("why", sa.JSON, nullable=False, server_default="{}"))


def downgrade() -> None:
    """Drop it."""
    op.drop_column("events", "why")
