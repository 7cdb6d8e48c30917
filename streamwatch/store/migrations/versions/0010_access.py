"""Who may use page and API, what was done there, answers that are given once, and a person's note on an event."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables and the column."""
    op.add_column("events", sa.Column("note", sa.String(1000)))
    op.create_table(
        "tokens",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("name", sa.String(63), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("secret_sha256", sa.String(64), nullable=False),
        sa.Column("created_wall_s", sa.Float(53), nullable=False),
        sa.Column("used_wall_s", sa.Float(53)),
        sa.Column("revoked_wall_s", sa.Float(53)),
    )
    op.create_table(
        "web_sessions",
        sa.Column("secret_sha256", sa.String(64), primary_key=True),
        sa.Column("token_id", sa.String(16), nullable=False),
        sa.Column("expires_wall_s", sa.Float(53), nullable=False),
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("at_wall_s", sa.Float(53), nullable=False),
        sa.Column("who", sa.String(63), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("address", sa.String(63), nullable=False),
        sa.Column("action", sa.String(255), nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "replies",
        sa.Column("who", sa.String(63), primary_key=True),
        sa.Column("key", sa.String(255), primary_key=True),
        sa.Column("request_sha256", sa.String(64), nullable=False),
        sa.Column("at_wall_s", sa.Float(53), nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("headers", sa.JSON),
        sa.Column("body", sa.LargeBinary),
    )
    op.create_index("replies_by_time", "replies", ["at_wall_s"])
    op.create_index("outbox_of_subject", "outbox", ["subject", "id"])


def downgrade() -> None:
    """Drop them."""
    op.drop_index("outbox_of_subject", "outbox")
    for table in ("replies", "audit", "web_sessions", "tokens"):
        op.drop_table(table)
    with op.batch_alter_table("events") as batch:
        batch.drop_column("note")
