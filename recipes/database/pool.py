"""The connection pool: one a process, opened at the first use.

A server may import the app and then fork (gunicorn with preload_app, uWSGI without lazy-apps). A pool that is open by
then would be every worker's, and two workers that speak on one connection get each other's answers. So a pool is found
by the id of the process that made it, and a child makes its own. os.register_at_fork would not do: uWSGI forks in C,
and by default calls none of Python's hooks.
"""

import os
import tempfile

from sqlalchemy import Engine, create_engine, select
from sqlalchemy.exc import SQLAlchemyError

# A fork reads DATABASE_URL in app/settings.py, and has no default: this one is gone when the machine is.
DEFAULT_URL = f"sqlite:///{tempfile.gettempdir()}/guestbook.sqlite3"

engines: dict[int, Engine] = {}


def engine() -> Engine:
    """Return this process's engine, which holds its pool; no connection is opened before a query needs one."""
    process = os.getpid()
    # Two threads may both find none; setdefault lets one of theirs win, and the other has opened nothing.
    return engines.get(process) or engines.setdefault(process, new_engine())


def new_engine() -> Engine:
    """Return an engine for the database at DATABASE_URL."""
    # A pool keeps 5 connections, one more than WEB_THREADS' default: workers times 5 must be fewer than PostgreSQL's
    # max_connections. The ping replaces those that died with a database that was restarted.
    return create_engine(os.environ.get("DATABASE_URL") or DEFAULT_URL, pool_size=5, pool_pre_ping=True)


def database_answers() -> bool:
    """Tell whether the database answers: a check for app.handlers.health.CHECKS."""
    try:
        with engine().connect() as connection:
            return connection.scalar(select(1)) == 1
    except SQLAlchemyError:
        return False
