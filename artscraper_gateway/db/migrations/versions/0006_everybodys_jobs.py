"""For pages of everybody's jobs, which an admin's key may list."""

from alembic import op

revision, down_revision = "0006", "0005"


def upgrade() -> None:
    """Adds the index."""
    op.create_index("ix_jobs_submitted", "jobs", ["submitted_at", "id"])
