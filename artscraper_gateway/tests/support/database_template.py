"""A migrated SQLite database, made once for each test process and copied for each gateway."""

from __future__ import annotations

import shutil
import tempfile
from functools import cache
from pathlib import Path

import sqlalchemy as sa

from artscraper_gateway.db.engine import migrate_queue, open_engine
from artscraper_gateway.settings.model import GatewayConfig


def copy_migrated_database(target: Path) -> None:
    """Put a copy of the empty, migrated database at `target` unless a database is there."""
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(_template(), target)


@cache
def _template() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="artscraper-template-"))
    config = GatewayConfig(base_dir=folder)
    engine = open_engine(config)
    migrate_queue(engine)
    with engine.connect() as connection:  # everything into the one file that is copied
        connection.execute(sa.text("PRAGMA wal_checkpoint(TRUNCATE)"))
    engine.dispose()
    return config.database_path
