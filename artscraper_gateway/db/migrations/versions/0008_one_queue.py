"""One queue; jobs that wait for storage; where results and workers are; a key's priority."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0008", "0007"


def upgrade() -> None:
    """Add the columns, and rename the queue of jobs that only store their picture."""
    for column in (
        sa.Column("retry_at", sa.Float),
        sa.Column("retry_since", sa.Float),
        sa.Column("retry_count", sa.Integer, nullable=False, server_default="0"),
        sa.Column("retry_reason", sa.String),
        sa.Column("results_in", sa.String),
    ):
        op.add_column("jobs", column)
    op.execute("UPDATE jobs SET queue = 'passthrough' WHERE queue = 'light'")
    op.add_column("workers", sa.Column("origin", sa.String, nullable=False, server_default=""))
    op.add_column("api_keys", sa.Column("max_priority", sa.Integer))
