"""An index for the runtimes and systems of each signature: the list of a million dumps asked the whole table for them."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("reports_by_system", "reports", ["key", "runtime", "os", "arch"])


def downgrade() -> None:
    op.drop_index("reports_by_system", "reports")
