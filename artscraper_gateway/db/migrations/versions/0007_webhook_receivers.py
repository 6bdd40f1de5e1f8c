"""Receivers of webhooks, so that one cannot take all slots, and since when they wait."""

import httpx
import sqlalchemy as sa
from alembic import op

revision, down_revision = "0007", "0006"

_deliveries = sa.table(
    "deliveries", sa.column("url"), sa.column("status"), sa.column("receiver", sa.String)
)


def upgrade() -> None:
    """Add the columns, and set the receivers of pending deliveries."""
    receiver = sa.Column("receiver", sa.String, nullable=False, server_default="")
    op.add_column("deliveries", receiver)
    op.add_column("deliveries", sa.Column("waits_since", sa.Float))
    op.drop_index("ix_deliveries_due", "deliveries")
    op.create_index("ix_deliveries_due", "deliveries", ["status", "next_at", "receiver"])
    is_open = _deliveries.c.status == "pending"
    urls = sa.select(_deliveries.c.url).where(is_open).distinct()
    for url in op.get_bind().execute(urls).scalars().all():
        named = _deliveries.update().where(is_open, _deliveries.c.url == url)
        op.execute(named.values(receiver=httpx.URL(url).netloc.decode()))
