"""Alembic's entry point; the connection comes from streamwatch.store.sessions."""

from __future__ import annotations

from alembic import context

from streamwatch.store.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
