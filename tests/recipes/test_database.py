"""recipes/database on SQLite and, if DATABASE_URL is set, on that database in a schema for the tests."""

import gzip
import json
import os
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, inspect, make_url, text

from app.handlers.health import CHECKS
from recipes import database
from recipes.database import pool
from recipes.database.pool import database_answers, engine
from tests.wsgi import call

SERVER = os.environ.get("DATABASE_URL")
ALEMBIC = Config(Path(database.__file__).parent / "alembic.ini")


@pytest.fixture(params=["sqlite", *["postgresql"] * bool(SERVER)], autouse=True)
def url(request, tmp_path, monkeypatch):
    schema = f"test_{os.getpid()}"
    url = make_url(SERVER if request.param == "postgresql" else f"sqlite:///{tmp_path}/guestbook.sqlite3")
    if request.param == "postgresql":
        execute(url, f"CREATE SCHEMA {schema}")
        url = url.update_query_dict({"options": f"-csearch_path={schema}"})
    monkeypatch.setenv("DATABASE_URL", url.render_as_string(hide_password=False))
    monkeypatch.setattr(pool, "engines", {})
    yield url
    engine().dispose()
    if request.param == "postgresql":
        execute(url, f"DROP SCHEMA {schema} CASCADE")


@pytest.fixture
def application(url):
    command.upgrade(ALEMBIC, "head")
    return database.application


def execute(url, statement):
    other = create_engine(url)
    with other.begin() as connection:
        connection.execute(text(statement))
    other.dispose()


def add(application, value, content_type="application/json"):
    return call(application, method="POST", body=json.dumps(value).encode(), CONTENT_TYPE=content_type)


def test_migrations_create_and_drop_schema_of_models():
    command.upgrade(ALEMBIC, "head")
    command.check(ALEMBIC)
    assert inspect(engine()).has_table("entry")
    command.downgrade(ALEMBIC, "base")
    assert not inspect(engine()).has_table("entry")


def test_added_entries_are_listed_newest_first(application):
    one, two = {"name": "Ada", "message": "I was here."}, {"name": "Grace", "message": "Так и я 👋"}
    answers = [add(application, one), add(application, two)]
    assert [answer.status for answer in answers] == [201, 201]
    assert json.loads(call(application).body) == [{"id": 2, **two}, {"id": 1, **one}]


@pytest.mark.parametrize(
    ("value", "content_type", "status"),
    [
        ({"name": "Ada", "message": ""}, "application/json", 400),
        ({"name": "A" * 81, "message": "long"}, "application/json", 400),
        ({"name": "Ada", "message": "\0"}, "application/json", 400),
        ({"name": "Ada", "message": "\ud800"}, "application/json", 400),
        ({"name": "Ada", "message": 1}, "application/json", 400),
        (["Ada"], "application/json", 400),
        ({"name": "Ada", "message": "m" * 1_048_576}, "application/json", 413),
        ({"name": "Ada", "message": "I was here."}, "text/plain", 415),
    ],
)
def test_invalid_entry_is_rejected_and_not_stored(application, value, content_type, status):
    assert add(application, value, content_type).status == status
    assert json.loads(call(application).body) == []


@pytest.mark.parametrize("text", ["'); DROP TABLE entry; --", "%s %(name)s :name", "<script>", "\r\nSet-Cookie: a=b"])
def test_entry_is_data_only(application, text):
    entry = {"name": text, "message": text}
    assert add(application, entry).status == 201
    answer = call(application)
    assert json.loads(answer.body) == [{"id": 1, **entry}]
    assert answer.headers["Content-Type"] == "application/json"


def test_compressed_body_is_not_unpacked(application):
    bomb = gzip.compress(json.dumps({"name": "Ada", "message": "0" * 10_000_000}).encode())
    headers = {"CONTENT_TYPE": "application/json", "HTTP_CONTENT_ENCODING": "gzip"}
    assert call(application, method="POST", body=bomb, **headers).status == 400


def test_failed_query_gets_error_page_without_text_of_the_exception(application):
    command.downgrade(ALEMBIC, "base")
    answer = call(application)
    assert answer.status == 500
    assert "entry" not in answer.text
    assert "SELECT" not in answer.text


def test_app_is_ready_while_database_answers(application, url, monkeypatch):
    monkeypatch.setitem(CHECKS, "database", database_answers)
    assert call(application, "/readyz").status == 200
    engine().dispose()
    nowhere = url.set(database="/no/such/folder/or_database")
    monkeypatch.setitem(pool.engines, os.getpid(), create_engine(nowhere))
    assert call(application, "/readyz").status == 503


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # pytest-xdist runs threads
def test_forked_process_opens_its_own_connection():
    def raw():
        with engine().connect() as connection:
            return connection.connection.dbapi_connection

    ours = raw()
    assert raw() is ours
    child = os.fork()
    if not child:
        try:
            os._exit(0 if raw() is not ours else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert raw() is ours
