"""Alembic's environment: run the revisions on the connection in the configuration."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    transactional_ddl=True,  # SQLite supports it in an explicit transaction
)
context.run_migrations()
