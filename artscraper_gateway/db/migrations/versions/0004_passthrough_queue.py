"""The queue of jobs that only store their picture, which older rows do not name."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0004", "0003"

_jobs = sa.table(
    "jobs", sa.column("id"), sa.column("status"), sa.column("queue"), sa.column("request", sa.JSON)
)


def upgrade() -> None:
    """Name the queue of jobs that ask for neither analysis nor protection."""
    connection = op.get_bind()
    is_open = _jobs.c.status.in_(("queued", "running"))
    for row in connection.execute(sa.select(_jobs.c.id, _jobs.c.request).where(is_open)).all():
        if not (row.request["include_protection"] or row.request["include_hash_analysis"]):
            op.execute(_jobs.update().where(_jobs.c.id == row.id).values(queue="light"))
