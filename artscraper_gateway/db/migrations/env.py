"""What Alembic runs for each command: the revisions, on the connection that it was given."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    transactional_ddl=True,  # SQLite can, once a transaction was begun; Alembic does not know
)
context.run_migrations()
