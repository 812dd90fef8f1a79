"""The connection pool: one per process, created at the first use.

Some servers import the app before they fork (gunicorn with preload_app, uWSGI without lazy-apps). Workers that share a
connection receive each other's results. Pools are therefore stored by process id, so that a forked worker creates its
own. os.register_at_fork is not enough, because uWSGI forks in C and does not call Python's hooks by default.
"""

import os
import tempfile

from sqlalchemy import Engine, create_engine, select

from app.settings import environment

engines: dict[int, Engine] = {}


def engine() -> Engine:
    """Return this process's engine, which owns its pool; the first query opens a connection."""
    process = os.getpid()
    # Two threads can both create an engine. setdefault keeps one; the other has no open connection.
    return engines.get(process) or engines.setdefault(process, new_engine())


def new_engine() -> Engine:
    """Return an engine for the database at DATABASE_URL."""
    # In your project, read DATABASE_URL in app/settings.py, without a default. This default is a temporary file.
    url = environment().get("DATABASE_URL") or f"sqlite:///{tempfile.gettempdir()}/guestbook.sqlite3"
    # 9 connections are one more than the default of WEB_THREADS. Workers times 9 must stay below PostgreSQL's
    # max_connections. The ping replaces connections that a database restart closed.
    return create_engine(url, pool_size=9, pool_pre_ping=True)


def database_answers() -> bool:
    """Return whether a query succeeds, or raise SQLAlchemyError: a check for app.handlers.health.CHECKS."""
    with engine().connect() as connection:
        return connection.scalar(select(1)) == 1
