"""Signatures and reports."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "signatures",
        sa.Column("key", sa.String(80), primary_key=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("issue", sa.Text),
        sa.Column("resolved_at", sa.DateTime),
        sa.Column("kind", sa.String(80), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("line", sa.Text, nullable=False),
    )
    op.create_table(
        "reports",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("key", sa.String(80), sa.ForeignKey("signatures.key"), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("kind", sa.String(80), nullable=False),
        sa.Column("exit_code", sa.Integer, nullable=False),
        sa.Column("seen_at", sa.DateTime, nullable=False),
        sa.Column("added_at", sa.DateTime, nullable=False),
        sa.Column("core", sa.Text, nullable=False),
        sa.Column("os", sa.String(16), nullable=False),
        sa.Column("arch", sa.String(16), nullable=False),
        sa.Column("runtime", sa.String(80)),
        sa.Column("process", sa.Text),
        sa.Column("tool", sa.String(40), nullable=False),
        sa.Column("link", sa.Text),
        sa.Column("report", sa.LargeBinary),
    )
    op.create_index("reports_by_key", "reports", ["key", "seen_at"])
    op.create_index("reports_by_time", "reports", ["seen_at", "key"])


def downgrade() -> None:
    op.drop_table("reports")
    op.drop_table("signatures")
