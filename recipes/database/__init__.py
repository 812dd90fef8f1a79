"""A guestbook in a database: SQLAlchemy's models and sessions, Alembic's migrations, one connection pool a worker.

When: the app keeps what it is told. Not when: it only reads what another program owns; then pool.py is all you need.

Run: `alembic -c recipes/database/alembic.ini upgrade head`, which a deploy does once, before its first worker starts;
then `python -m recipes.database`, and `curl localhost:8000 --json '{"name": "Ada", "message": "I was here."}'`.
On SQLite, or where DATABASE_URL says: postgresql+psycopg://user:password@host/name?connect_timeout=3, for instance.
After a change to models.py: `alembic -c recipes/database/alembic.ini revision --autogenerate -m "what has changed"`.
Needs: sqlalchemy, alembic, and psycopg[binary] for PostgreSQL (requirements/recipes.txt).
"""

import json as jsonlib
from collections.abc import Iterable
from dataclasses import asdict
from http import HTTPStatus
from wsgiref.types import StartResponse, WSGIEnvironment

from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from app.handlers import health
from app.middleware.errors import errors
from app.middleware.head import head
from app.middleware.request_id import request_id
from app.request import body, media_type
from app.response import error, json
from app.router import router
from app.wsgi import chain
from recipes.database.models import Entry
from recipes.database.pool import engine

NEWEST = 50


def entries(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with the newest entries, the newest first."""
    with Session(engine()) as session:
        newest = session.scalars(select(Entry).order_by(Entry.id.desc()).limit(NEWEST))
        return json(start_response, [asdict(entry) for entry in newest])


def add(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Add the entry that the body describes; 415 for another type, 413 for too much, 400 for what is no entry."""
    if media_type(environ) != "application/json":
        return error(environ, start_response, HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send Content-Type: application/json.")
    try:
        entry = parse(body(environ))
    except RequestEntityTooLarge:
        return error(environ, start_response, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    except (ValueError, RecursionError, ClientDisconnected) as reason:
        return error(environ, start_response, HTTPStatus.BAD_REQUEST, f"The body is not an entry: {reason}.")
    # Begins a transaction, and commits it before the client hears of the entry.
    with Session(engine(), expire_on_commit=False) as session, session.begin():
        session.add(entry)
    return json(start_response, asdict(entry), HTTPStatus.CREATED)


def parse(content: bytes) -> Entry:
    """Return the entry that a JSON object describes; raise ValueError for anything else."""
    match jsonlib.loads(content):
        case {"name": str(name), "message": str(message)}:
            return Entry(name=name, message=message)
    raise ValueError('send {"name": "...", "message": "..."}')


application = chain(
    [head, request_id, errors], router({"/": {"GET": entries, "POST": add}, "/readyz": {"GET": health.ready}})
)
