# ruff: noqa: INP001 (Alembic runs this file by its path)
"""Run Alembic on the application's own database engine."""

from alembic import context

from recipes.database.models import Base
from recipes.database.pool import engine

with engine().connect() as connection:
    # SQLite supports few ALTER statements. In batch mode, Alembic copies the table on SQLite and alters it elsewhere.
    context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()
