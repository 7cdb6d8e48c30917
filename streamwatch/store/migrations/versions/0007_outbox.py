"""Messages to deliver, every attempt at it, and endpoints that are switched off."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "outbox",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("message_id", sa.String(36), nullable=False),
        sa.Column("endpoint", sa.String(63), nullable=False),
        sa.Column("subject", sa.String(36), nullable=False),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("camera", sa.String(255), nullable=False),
        sa.Column("content", sa.JSON, nullable=False),
        sa.Column("created_wall_s", sa.Float(53), nullable=False),
        sa.Column("due_wall_s", sa.Float(53), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("leased_until_wall_s", sa.Float(53)),
        sa.Column("last_error", sa.String(255)),
        sa.Column("settled_wall_s", sa.Float(53)),
        sqlite_autoincrement=True,
    )
    op.create_index("outbox_by_state", "outbox", ["endpoint", "state", "due_wall_s", "id"])
    op.create_index("outbox_by_subject", "outbox", ["endpoint", "subject", "id"])
    op.create_index("outbox_once", "outbox", ["endpoint", "message_id"], unique=True)
    op.create_table(
        "attempts",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("outbox_id", sa.Integer, nullable=False),
        sa.Column("at_wall_s", sa.Float(53), nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("latency_s", sa.Float(53), nullable=False),
        sa.Column("error", sa.String(255)),
    )
    op.create_index("attempts_by_message", "attempts", ["outbox_id", "id"])
    op.create_table(
        "endpoints",
        sa.Column("name", sa.String(63), primary_key=True),
        sa.Column("disabled_wall_s", sa.Float(53), nullable=False),
        sa.Column("reason", sa.String(255), nullable=False),
    )


def downgrade() -> None:
    """Drop them."""
    for table in ("endpoints", "attempts", "outbox"):
        op.drop_table(table)
