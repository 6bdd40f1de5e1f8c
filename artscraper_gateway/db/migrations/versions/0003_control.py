"""Owners, events, batches, idempotency, API keys and webhooks."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0003", "0002"


def upgrade() -> None:
    """Add tables and columns for events, batches, keys and webhooks."""
    _extend_jobs()
    _add_following()
    _add_keys()
    _add_webhooks()


def _extend_jobs() -> None:
    for column in (
        sa.Column("owner", sa.String, nullable=False, server_default=""),
        sa.Column("queue", sa.String, nullable=False, server_default="heavy"),
        sa.Column("priority", sa.Integer, nullable=False, server_default="0"),
        sa.Column("progress", sa.Float, nullable=False, server_default="0"),
        sa.Column("revision", sa.Integer, nullable=False, server_default="0"),
        sa.Column("error_code", sa.String),
        sa.Column("callback_url", sa.String),
        sa.Column("disk_bytes", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("batch_id", sa.String),
        sa.Column("batch_index", sa.Integer),
    ):
        op.add_column("jobs", column)
    op.drop_index("ix_jobs_status", "jobs")
    queued = ["status", "queue", "priority", "submitted_at", "owner"]
    op.create_index("ix_jobs_queued", "jobs", queued)
    op.create_index("ix_jobs_owner", "jobs", ["owner", "submitted_at", "id"])
    op.create_index("ix_jobs_finished", "jobs", ["finished_at"])
    op.create_index("ix_jobs_batch_id", "jobs", ["batch_id"])
    op.execute("UPDATE jobs SET progress = 1 WHERE status = 'done'")
    op.execute("UPDATE jobs SET error_code = 'failed' WHERE status = 'error'")


def _add_following() -> None:
    op.create_table(
        "events",
        sa.Column(
            "job_id", sa.String, sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("data", sa.JSON, nullable=False),
    )
    op.create_table(
        "batches",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("submitted_at", sa.Float, nullable=False),
        sa.Column("refused", sa.JSON, nullable=False),
    )


def _add_keys() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("owner", sa.String, primary_key=True),
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("fingerprint", sa.String, nullable=False),
        sa.Column("answer_id", sa.String, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
    )
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"])
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("name", sa.String, nullable=False, unique=True),
        sa.Column("secret_hash", sa.String, nullable=False),
        sa.Column("scopes", sa.String, nullable=False),
        sa.Column("rate_count", sa.Integer),
        sa.Column("rate_period_s", sa.Float),
        sa.Column("rate_until", sa.Float, nullable=False, server_default="0"),
        sa.Column("max_queued", sa.Integer),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("revoked_at", sa.Float),
    )


def _add_webhooks() -> None:
    op.create_table(
        "webhook_secrets",
        sa.Column("owner", sa.String, primary_key=True),
        sa.Column("secret", sa.String, nullable=False),
    )
    op.create_table(
        "deliveries",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column(
            "job_id", sa.String, sa.ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("url", sa.String, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("next_at", sa.Float),
    )
    op.create_index("ix_deliveries_job_id", "deliveries", ["job_id"])
    op.create_index("ix_deliveries_due", "deliveries", ["status", "next_at"])
    op.create_table(
        "delivery_attempts",
        sa.Column(
            "delivery_id",
            sa.String,
            sa.ForeignKey("deliveries.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("at", sa.Float, primary_key=True),
        sa.Column("duration_s", sa.Float, nullable=False),
        sa.Column("http_status", sa.Integer),
        sa.Column("error", sa.String),
    )
    op.create_table(
        "closed_callbacks",
        sa.Column("owner", sa.String, primary_key=True),
        sa.Column("url", sa.String, primary_key=True),
        sa.Column("closed_at", sa.Float, nullable=False),
    )
