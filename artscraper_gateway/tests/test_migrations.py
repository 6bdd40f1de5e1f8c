"""The database's schema: made, upgraded, taken over, refused; never half done."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from artscraper_gateway.db import migrations
from artscraper_gateway.db.engine import open_engine
from artscraper_gateway.db.migrations import IncompatibleDatabase, known_revisions
from artscraper_gateway.db.tables import metadata
from artscraper_gateway.jobs.repository import JobStore
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.tests.gateway_process import REPOSITORY
from artscraper_gateway.webhooks.repository import DeliveryLog

pytestmark = pytest.mark.system

# As releases made it that kept no revision.
UNVERSIONED = """
CREATE TABLE jobs (
    id VARCHAR NOT NULL, status VARCHAR NOT NULL, request JSON NOT NULL, source VARCHAR NOT NULL,
    submitted_at FLOAT NOT NULL, updated_at FLOAT NOT NULL, started_at FLOAT, finished_at FLOAT,
    stage VARCHAR, stage_attempts INTEGER NOT NULL, worker VARCHAR, error TEXT, watermark VARCHAR,
    PRIMARY KEY (id)
);
CREATE INDEX ix_jobs_status ON jobs (status);
CREATE INDEX ix_jobs_watermark ON jobs (watermark);
INSERT INTO jobs VALUES (
    'a0', 'done', '{}', 'image.png', 1.0, 2.0, 1.5, 2.0, 'summary', 1, NULL, NULL, NULL
), (
    'a1', 'queued', '{"include_protection": false, "include_hash_analysis": false}', 'image.png',
    1.0, 2.0, NULL, NULL, NULL, 0, NULL, NULL, NULL
);
"""
# What schema 0006 had, with a webhook that is still to be sent and one that is not.
WITHOUT_RECEIVERS = """
DROP INDEX ix_deliveries_due;
ALTER TABLE deliveries DROP COLUMN receiver;
ALTER TABLE deliveries DROP COLUMN waits_since;
CREATE INDEX ix_deliveries_due ON deliveries (status, next_at);
ALTER TABLE jobs DROP COLUMN retry_at;
ALTER TABLE jobs DROP COLUMN retry_since;
ALTER TABLE jobs DROP COLUMN retry_count;
ALTER TABLE jobs DROP COLUMN retry_reason;
ALTER TABLE jobs DROP COLUMN results_in;
ALTER TABLE workers DROP COLUMN origin;
ALTER TABLE api_keys DROP COLUMN max_priority;
CREATE TABLE figures (figure VARCHAR PRIMARY KEY);
CREATE TABLE processes (id VARCHAR PRIMARY KEY);
INSERT INTO jobs (id, status, request, source, submitted_at, updated_at, stage_attempts)
    VALUES ('a0', 'done', '{}', 'image.png', 1.0, 2.0, 1);
INSERT INTO deliveries (id, job_id, owner, url, kind, body, status, tries, created_at, next_at)
    VALUES ('m0', 'a0', '', 'http://Example.org:8080/x', 'job.done', '{}', 'pending', 1, 2.0, 9.0),
    ('m1', 'a0', '', 'http://example.org/y', 'job.done', '{}', 'delivered', 1, 2.0, NULL);
UPDATE alembic_version SET version_num = '0006';
"""
OPEN = (
    "import sys\n"
    "from artscraper_gateway.settings.model import GatewayConfig\n"
    "from artscraper_gateway.db.engine import open_engine\n"
    "open_engine(GatewayConfig()).dispose()\n"
    "print('alembic' in sys.modules)\n"
)


@pytest.fixture
def config(tmp_path: Path) -> GatewayConfig:
    return GatewayConfig(base_dir=tmp_path / "gateway_jobs")


def run_sql(config: GatewayConfig, script: str) -> None:
    config.base_dir.mkdir(exist_ok=True)
    with closing(sqlite3.connect(config.database_path)) as database:
        database.executescript(script)


def dump(config: GatewayConfig) -> list[str]:
    with closing(sqlite3.connect(config.database_path)) as database:
        return list(database.iterdump())


def stored_revision(config: GatewayConfig) -> list[str]:
    return [line for line in dump(config) if 'INTO "alembic_version"' in line]


def opener(config: GatewayConfig) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", OPEN],
        env={"PYTHONPATH": str(REPOSITORY), **config.environment()},
        stdout=subprocess.PIPE,
        text=True,
    )


def differences(engine: sa.Engine) -> list[object]:
    """Return the differences between the tables of the database and those of the code."""
    own = {*metadata.tables, "alembic_version"}
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "compare_type": True,
                "include_name": lambda name, kind, _: kind != "table" or name in own,
            },
        )
        return list(compare_metadata(context, metadata))


def assert_tables_as_described(config: GatewayConfig) -> None:
    engine = open_engine(config)
    assert differences(engine) == []
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE jobs ADD COLUMN unknown INTEGER"))
    assert differences(engine), "the comparison sees nothing"
    engine.dispose()


def schema(engine: sa.Engine) -> dict[str, object]:
    """Return columns, keys and indexes of the gateway's own tables."""
    inspector = sa.inspect(engine)
    return {
        table: (
            sorted(
                (each["name"], str(each["type"]), each["nullable"], each["default"])
                for each in inspector.get_columns(table)
            ),
            inspector.get_pk_constraint(table)["constrained_columns"],
            sorted(
                (each["constrained_columns"], each["referred_table"], each["options"])
                for each in inspector.get_foreign_keys(table)
            ),
            sorted(each["column_names"] for each in inspector.get_unique_constraints(table)),
            sorted((each["name"], each["column_names"]) for each in inspector.get_indexes(table)),
        )
        for table in {*metadata.tables, "alembic_version"}
    }


def test_new_database_has_the_described_tables(config: GatewayConfig) -> None:
    assert_tables_as_described(config)


def test_revisions_create_the_tables_of_a_new_database(
    config: GatewayConfig, tmp_path: Path
) -> None:
    upgraded = sa.create_engine(f"sqlite:///{tmp_path / 'upgraded.sqlite3'}")
    with upgraded.begin() as connection:
        settings = Config(attributes={"connection": connection})
        settings.set_main_option("script_location", str(Path(migrations.__file__).parent))
        command.upgrade(settings, "head")
    created = open_engine(config)
    assert schema(created) == schema(upgraded)
    assert differences(upgraded) == []
    created.dispose()
    upgraded.dispose()


def test_revisions_are_one_ordered_chain() -> None:
    location = str(REPOSITORY / "artscraper_gateway" / "db" / "migrations")
    settings = Config()
    settings.set_main_option("script_location", location)
    chain = [script.revision for script in ScriptDirectory.from_config(settings).walk_revisions()]
    assert chain[::-1] == known_revisions()


def test_database_without_revision_is_adopted(config: GatewayConfig) -> None:
    run_sql(config, UNVERSIONED)
    engine = open_engine(config)
    job = JobStore(engine).find("a0")
    assert job is not None and job.status == "done" and job.finished_at == 2.0
    waiting = JobStore(engine).find("a1")
    assert waiting is not None and waiting.queue == "passthrough"
    assert differences(engine) == []
    engine.dispose()
    assert known_revisions()[-1] in stored_revision(config)[0]


def test_migration_gives_pending_webhooks_a_receiver(config: GatewayConfig) -> None:
    open_engine(config).dispose()
    run_sql(config, WITHOUT_RECEIVERS)
    engine = open_engine(config)
    assert differences(engine) == []
    found = {delivery.id: delivery for delivery, _ in DeliveryLog(engine).of_job("a0")}
    assert (found["m0"].receiver, found["m1"].receiver) == ("example.org:8080", "")
    assert found["m0"].next_at == 9.0 and found["m0"].waits_since is None
    engine.dispose()


def test_newer_database_is_refused_unchanged(config: GatewayConfig) -> None:
    open_engine(config).dispose()
    run_sql(config, "UPDATE alembic_version SET version_num = '9999'")
    before = dump(config)
    with pytest.raises(IncompatibleDatabase, match=r"9999.*newer release.*knows up to"):
        open_engine(config)
    assert dump(config) == before


@pytest.mark.parametrize("command", [["serve", "--port=0"], ["worker", "--slot=0"]])
def test_command_line_explains_an_incompatible_database(
    config: GatewayConfig, command: list[str]
) -> None:
    open_engine(config).dispose()
    run_sql(config, "UPDATE alembic_version SET version_num = '9999'")
    done = subprocess.run(
        [sys.executable, "-m", "artscraper_gateway", *command],
        env={"PYTHONPATH": str(REPOSITORY), **config.environment()},
        cwd=config.base_dir,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert "newer release" in done.stderr and "Traceback" not in done.stderr


def test_foreign_database_is_refused(config: GatewayConfig) -> None:
    run_sql(config, "CREATE TABLE jobs (id INTEGER, salary INTEGER);")
    before = dump(config)
    with pytest.raises(IncompatibleDatabase, match="a database of its own"):
        open_engine(config)
    assert dump(config) == before


def test_failed_upgrade_leaves_database_unchanged(
    config: GatewayConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_sql(config, UNVERSIONED)
    before = dump(config)
    copy = tmp_path / "migrations"
    shutil.copytree(Path(migrations.__file__).parent, copy)
    (copy / "versions" / "9998_broken.py").write_text(
        "from alembic import op\n"
        f"revision, down_revision = '9998', '{known_revisions()[-1]}'\n"
        "def upgrade():\n"
        "    op.execute('CREATE TABLE half_done (id INTEGER)')\n"
        "    op.execute('UPDATE jobs SET status = NULL')\n"
    )
    monkeypatch.setattr(migrations, "_HERE", copy)
    with pytest.raises(sa.exc.IntegrityError):
        open_engine(config)
    assert dump(config) == before


def test_concurrent_starts_create_the_tables_once(config: GatewayConfig) -> None:
    openers = [opener(config) for _ in range(4)]
    answers = [process.communicate(timeout=60)[0].strip() for process in openers]
    assert [process.returncode for process in openers] == [0] * 4
    assert answers == ["False"] * 4, "a new database needs no Alembic"
    assert len(stored_revision(config)) == 1


def test_concurrent_starts_upgrade_the_tables_once(config: GatewayConfig) -> None:
    run_sql(config, UNVERSIONED)
    openers = [opener(config) for _ in range(4)]
    answers = [process.communicate(timeout=60)[0].strip() for process in openers]
    assert [process.returncode for process in openers] == [0] * 4
    assert sorted(answers) == ["False", "False", "False", "True"]
    assert len(stored_revision(config)) == 1


def test_start_without_upgrade_does_not_import_alembic(config: GatewayConfig) -> None:
    open_engine(config).dispose()
    process = opener(config)
    assert process.communicate(timeout=60)[0].strip() == "False"
