"""A guestbook in a database: SQLAlchemy models and sessions, Alembic migrations, one connection pool per worker.

Use it if the app stores data. If the app only reads another program's database, pool.py is enough.

Run: `alembic -c recipes/database/alembic.ini upgrade head`. A deploy runs it once, before the first worker starts.
Then run `python -m recipes.database`, and `curl localhost:8000 --json '{"name": "Ada", "message": "I was here."}'`.
The default is SQLite. Otherwise set DATABASE_URL=postgresql+psycopg://user:password@host/name?connect_timeout=3.
After changing models.py: `alembic -c recipes/database/alembic.ini revision --autogenerate -m "add a column"`.
Needs: sqlalchemy, alembic, and psycopg[binary] for PostgreSQL (requirements/recipes.txt).
"""

from collections.abc import Iterable
from dataclasses import asdict
from http import HTTPStatus
from wsgiref.types import StartResponse, WSGIEnvironment

from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from app.request import json_body, media_type
from app.response import error, json
from recipes import site
from recipes.database.models import Entry
from recipes.database.pool import engine

NEWEST = 50


def entries(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Return the NEWEST entries, newest first."""
    with Session(engine()) as session:
        newest = session.scalars(select(Entry).order_by(Entry.id.desc()).limit(NEWEST))
        return json(start_response, [asdict(entry) for entry in newest])


def add(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Add the entry in the body; answer 415 to another media type, 413 to a large body, 400 to an invalid entry."""
    if media_type(environ) != "application/json":
        return error(environ, start_response, HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send Content-Type: application/json.")
    try:
        entry = parse(json_body(environ))
    except RequestEntityTooLarge:
        return error(environ, start_response, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    except (ValueError, ClientDisconnected):
        return error(environ, start_response, HTTPStatus.BAD_REQUEST, 'Send {"name": "...", "message": "..."}.')
    # session.begin() commits before the response is sent.
    with Session(engine(), expire_on_commit=False) as session, session.begin():
        session.add(entry)
    return json(start_response, asdict(entry), HTTPStatus.CREATED)


def parse(value: object) -> Entry:
    """Return the entry in a JSON object; raise ValueError for anything else."""
    match value:
        case {"name": str(name), "message": str(message)}:
            return Entry(name=name, message=message)
        case _:
            raise ValueError("not an object with a name and a message")


# --- The recipe as a site of its own. A copy ends here. ---

application = site({"/": {"GET": entries, "POST": add}})
