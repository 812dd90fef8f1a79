"""Alembic's way to the database, which is the application's own."""

from alembic import context

from recipes.database.models import Base
from recipes.database.pool import engine

with engine().connect() as connection:
    # SQLite can alter little of a table: in batch mode Alembic copies the table there, and alters it elsewhere.
    context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()
