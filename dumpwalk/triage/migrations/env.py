"""alembic's entry: runs the steps on the connection that the store opened."""

from __future__ import annotations

from alembic import context

from dumpwalk.triage.tables import metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, version_table="dumpwalk_schema"
)
with context.begin_transaction():
    context.run_migrations()
