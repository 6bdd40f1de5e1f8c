"""Metrics are kept in files of each machine: see `observability/metric_files.py`."""

from alembic import op

revision, down_revision = "0009", "0008"


def upgrade() -> None:
    """Drop the tables that added them up."""
    op.drop_table("figures")
    op.drop_table("processes")
