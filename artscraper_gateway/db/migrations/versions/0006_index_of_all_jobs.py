"""An index for lists of all owners' jobs, for admin keys."""

from alembic import op

revision, down_revision = "0006", "0005"


def upgrade() -> None:
    """Add the index."""
    op.create_index("ix_jobs_submitted", "jobs", ["submitted_at", "id"])
