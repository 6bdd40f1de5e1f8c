"""The workers that are alive; a job is leased to one of them or to none."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the table of workers and release all jobs."""
    op.create_table(
        "workers",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("beats", sa.Integer, nullable=False),
    )
    op.execute("UPDATE jobs SET worker = NULL")
    with op.batch_alter_table("jobs") as jobs:
        jobs.create_foreign_key(
            "jobs_worker_fkey", "workers", ["worker"], ["id"], ondelete="SET NULL"
        )
