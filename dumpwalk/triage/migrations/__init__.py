"""Steps from an empty database to today's tables, run by alembic; a step that has landed is never changed."""
