"""The schema of the gateway's own tables, one file a revision, brought up to date at start.

A revision is a file of four digits in `versions/`, each following the one before. One query and
the names of the files show whether one is due. A new database gets the tables of the newest
revision at once; Alembic is imported only to upgrade one.
"""

from __future__ import annotations

import logging
from pathlib import Path

import sqlalchemy as sa

from artscraper_gateway.db.tables import metadata

_log = logging.getLogger(__name__)
_HERE = Path(__file__).parent
_FIRST = "0001"
# Databases older than the first revision have this one table; with other columns it is another
# program's.
_FIRST_TABLE = "jobs"
_FIRST_COLUMNS = {"id", "status", "request", "source", "stage_attempts", "watermark"}


class IncompatibleDatabase(Exception):
    """This release cannot use the database; nothing in it was changed."""


def known_revisions() -> list[str]:
    """Return the revisions of this release, the oldest first."""
    return sorted(path.name[:4] for path in (_HERE / "versions").glob("[0-9]*.py"))


def bring_up_to_date(connection: sa.Connection) -> None:
    """Create the tables, or run the revisions that they lack, in the caller's transaction.

    The caller holds a lock, so that one of several processes that start at once runs them. A
    database older than the first revision is upgraded with its jobs.

    Raises:
        IncompatibleDatabase: a newer release made it, or another program did.
    """
    revisions, stored = known_revisions(), checked_revision(connection)
    if stored == revisions[-1]:
        return
    is_unversioned = stored is None and _is_unversioned(connection)
    if stored is None and not is_unversioned:
        _create(connection, revisions[-1])
        return
    from alembic import command
    from alembic.config import Config

    settings = Config(attributes={"connection": connection})
    settings.set_main_option("script_location", str(_HERE).replace("%", "%%"))
    if is_unversioned:
        command.stamp(settings, _FIRST)
    command.upgrade(settings, "head")
    _log.info("the database's schema went from %s to %s", stored or "none", revisions[-1])


def _create(connection: sa.Connection, revision: str) -> None:
    """Create all tables, and the one in which Alembic keeps the revision."""
    versions = sa.Table(
        "alembic_version",
        sa.MetaData(),
        sa.Column("version_num", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
    )
    metadata.create_all(connection, checkfirst=False)
    versions.create(connection)
    connection.execute(versions.insert().values(version_num=revision))
    _log.info("the database's schema was created as of %s", revision)


def checked_revision(connection: sa.Connection) -> str | None:
    """Return the database's revision; None if it has none yet. Changes nothing.

    Raises:
        IncompatibleDatabase: a newer release made it, or another program did.
    """
    revisions, stored = known_revisions(), _stored_revision(connection)
    if stored is not None and stored not in revisions:
        raise IncompatibleDatabase(
            f"the database has schema {stored}, made by a newer release; this one knows up to"
            f" {revisions[-1]}. Start that release again, or choose another base_dir or"
            " database_url"
        )
    if stored is None:
        _is_unversioned(connection)
    return stored


def _stored_revision(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    rows = connection.execute(sa.text("SELECT version_num FROM alembic_version"))
    revision: str | None = rows.scalar_one_or_none()
    return revision


def _is_unversioned(connection: sa.Connection) -> bool:
    inspector = sa.inspect(connection)
    if not inspector.has_table(_FIRST_TABLE):
        return False
    columns = {column["name"] for column in inspector.get_columns(_FIRST_TABLE)}
    if not columns >= _FIRST_COLUMNS:
        raise IncompatibleDatabase(
            f"the database has a table {_FIRST_TABLE!r} that is not this gateway's; give the"
            " gateway a database of its own"
        )
    return True
