"""Tables of the database.

A change here goes with a migration in `migrations/versions/`; a test compares the two.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

metadata = sa.MetaData()
# Worker processes that are alive, or were a moment ago: `jobs/leases.py`.
workers = sa.Table(
    "workers",
    metadata,
    sa.Column("id", sa.String, primary_key=True),  # of one process, never used again
    sa.Column("name", sa.String, nullable=False),  # of its machine and slot
    sa.Column("beats", sa.Integer, nullable=False),
    # Boot and folder of its lock file; workers of one origin exclude each other.
    sa.Column("origin", sa.String, nullable=False, server_default=""),
)
# `status` is public. A job in `deleting` is unknown to callers; its row stays until its folders
# are gone, so that an interrupted deletion is finished later.
jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("status", sa.String, nullable=False),
    sa.Column("request", sa.JSON, nullable=False),
    sa.Column("source", sa.String, nullable=False),  # the staged picture's file name
    sa.Column("submitted_at", sa.Float, nullable=False),  # these four: seconds since 1970, UTC
    sa.Column("updated_at", sa.Float, nullable=False),
    sa.Column("started_at", sa.Float),
    sa.Column("finished_at", sa.Float),
    sa.Column("stage", sa.String),  # the stage that runs, or ran last
    sa.Column("stage_attempts", sa.Integer, nullable=False, default=0),
    # The lease. The foreign key refuses workers that are not registered, or not any more.
    sa.Column("worker", sa.String, sa.ForeignKey("workers.id", ondelete="SET NULL")),
    sa.Column("error", sa.Text),
    sa.Column("watermark", sa.String, index=True),  # hex of the number that the picture carries
    sa.Column("owner", sa.String, nullable=False, server_default=""),  # an API key's id; "" = none
    sa.Column("queue", sa.String, nullable=False, server_default="heavy"),  # `jobs/queue.py`
    sa.Column("priority", sa.Integer, nullable=False, server_default="0"),  # higher runs sooner
    sa.Column("progress", sa.Float, nullable=False, server_default="0"),  # 0..1, never less
    sa.Column("revision", sa.Integer, nullable=False, server_default="0"),  # of the newest event
    sa.Column("error_code", sa.String),  # stable, for programs; set with `error`
    sa.Column("callback_url", sa.String),
    sa.Column("disk_bytes", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("batch_id", sa.String, index=True),
    sa.Column("batch_index", sa.Integer),
    # Set while the job waits out a storage outage: next run, first failure, number, reason.
    sa.Column("retry_at", sa.Float),
    sa.Column("retry_since", sa.Float),
    sa.Column("retry_count", sa.Integer, nullable=False, server_default="0"),
    sa.Column("retry_reason", sa.String),
    sa.Column("results_in", sa.String),  # the `output_parent` that the results were written to
    sa.Index("ix_jobs_queued", "status", "queue", "priority", "submitted_at", "owner"),
    sa.Index("ix_jobs_owner", "owner", "submitted_at", "id"),
    sa.Index("ix_jobs_submitted", "submitted_at", "id"),
    sa.Index("ix_jobs_finished", "finished_at"),
)
# Changes of jobs, for event streams; newer progress replaces older.
events = sa.Table(
    "events",
    metadata,
    sa.Column("job_id", sa.String, sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),  # from 1 in each job
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("data", sa.JSON, nullable=False),
)
batches = sa.Table(
    "batches",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("owner", sa.String, nullable=False),
    sa.Column("submitted_at", sa.Float, nullable=False),
    sa.Column("refused", sa.JSON, nullable=False),  # items that became no job, with their problem
)
idempotency_keys = sa.Table(
    "idempotency_keys",
    metadata,
    sa.Column("owner", sa.String, primary_key=True),
    sa.Column("key", sa.String, primary_key=True),
    sa.Column("fingerprint", sa.String, nullable=False),  # of the payload that came with it
    sa.Column("answer_id", sa.String, nullable=False),  # the job or batch that it led to
    sa.Column("created_at", sa.Float, nullable=False, index=True),
)
api_keys = sa.Table(
    "api_keys",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("name", sa.String, nullable=False, unique=True),
    sa.Column("secret_hash", sa.String, nullable=False),  # SHA-256, hex; the secret is not kept
    sa.Column("scopes", sa.String, nullable=False),  # separated by commas
    sa.Column("rate_count", sa.Integer),  # requests in rate_period_s; null if unlimited
    sa.Column("rate_period_s", sa.Float),
    sa.Column("rate_until", sa.Float, nullable=False, server_default="0"),
    sa.Column("max_queued", sa.Integer),
    sa.Column("max_priority", sa.Integer),  # of its jobs; null if unlimited
    sa.Column("created_at", sa.Float, nullable=False),
    sa.Column("revoked_at", sa.Float),
)
# Signing keys of webhooks, by owner of jobs; in plain text, since signing needs them.
webhook_secrets = sa.Table(
    "webhook_secrets",
    metadata,
    sa.Column("owner", sa.String, primary_key=True),
    sa.Column("secret", sa.String, nullable=False),
)
# `next_at` is when a webhook is due or, while a sender has it, when another may take it over.
deliveries = sa.Table(
    "deliveries",
    metadata,
    sa.Column("id", sa.String, primary_key=True),  # the webhook-id
    sa.Column(
        "job_id",
        sa.String,
        sa.ForeignKey("jobs.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    sa.Column("owner", sa.String, nullable=False),
    sa.Column("url", sa.String, nullable=False),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("status", sa.String, nullable=False),
    sa.Column("tries", sa.Integer, nullable=False),  # since it was made or sent again by hand
    sa.Column("created_at", sa.Float, nullable=False),
    sa.Column("next_at", sa.Float),
    sa.Column("waits_since", sa.Float),  # when `next_at` was set
    # Host and port: what shares a receiver's slots. "" = made by an earlier release.
    sa.Column("receiver", sa.String, nullable=False, server_default=""),
    sa.Index("ix_deliveries_due", "status", "next_at", "receiver"),
)
delivery_attempts = sa.Table(
    "delivery_attempts",
    metadata,
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
# Receivers that answered 410 Gone: nothing is sent there until a manual delivery succeeds.
closed_callbacks = sa.Table(
    "closed_callbacks",
    metadata,
    sa.Column("owner", sa.String, primary_key=True),
    sa.Column("url", sa.String, primary_key=True),
    sa.Column("closed_at", sa.Float, nullable=False),
)


def insert_if_new(connection: sa.Connection, table: sa.Table) -> Any:
    """Return an insert that ignores rows that exist already, in the database's dialect."""
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql  # with all of its drivers' dialects, 30 ms

        return postgresql.insert(table).on_conflict_do_nothing()
    return sqlite.insert(table).on_conflict_do_nothing()
