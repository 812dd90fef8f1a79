"""A fork with the database recipe on PostgreSQL: deploys with migrations, an outage, backup and restore."""

import re
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from deploy.server.launch import BACKENDS
from tests.drills.load import load
from tests.recipes.copies import copy
from tests.stack.conftest import require
from tests.stack.site import Site, other
from tests.stack.test_release_command import insert
from tests.stack.waiting import until
from tests.tree import ROOT

pytestmark = pytest.mark.nightly

ROUTES = """
from app import database
from app.database.pool import database_answers
from app.handlers.health import CHECKS
CHECKS["database"] = database_answers
ROUTES["/entries"] = {"GET": database.entries, "POST": database.add}
"""
EXPAND = '''"""Add a title."""
import sqlalchemy as sa
from alembic import op
revision, down_revision = "0002", "0001"
def upgrade():
    op.add_column("entry", sa.Column("title", sa.String(80), nullable=True))
'''
COMMAND = "alembic -c app/database/alembic.ini upgrade head"


def fork(site):
    """Do what docs/database.md says: copy the recipe, add its packages, and name the overlay and the command."""
    copy("database", site.root)
    insert(site.root, ROUTES)
    for backend in BACKENDS:  # instead of `make lock`
        mine = packages(site.root / "requirements" / f"{backend}.txt")
        more = packages(ROOT / "requirements" / "recipes.txt")
        (site.root / "requirements" / f"{backend}.txt").write_text("".join((more | mine).values()))
    overlay = "COMPOSE_FILE=docker-compose.yml:deploy/postgres/postgres.yml"
    site.write(".env", f"{site.env()}{overlay}\nRELEASE_COMMAND={COMMAND}\n")


def packages(path):
    """Return the blocks of a lock file by the name of the package."""
    blocks = re.findall(r"^([\w.-]+)((?:\[[^]]*])?==.*\n(?: .*\n)*)", path.read_text(), re.MULTILINE)
    return {name + block.partition(";")[2].partition("\\")[0]: name + block for name, block in blocks}


@pytest.fixture(
    scope="module",
    params=[pytest.param(backend, marks=pytest.mark.xdist_group(f"postgres-{backend}")) for backend in BACKENDS],
)
def site(request, tmp_path_factory):
    """Return the site of such a fork, with its first release and one entry."""
    require("docker", request.param)
    site = Site(request.param, "-postgres", tmp_path_factory.mktemp("site"))
    site.files = ("docker-compose.yml", "deploy/postgres/postgres.yml")
    try:
        fork(site)
        assert "the app depends on postgres: start it with `docker" in site.make(fails=True)
        site.compose("up", "--detach", "--wait", "postgres")
        site.database = site.inspect("postgres")
        site.make(RELEASE="one")
        assert version(site) == "0001"
        assert write(site, "first").status_code == 201
        yield site
    finally:
        site.compose("down", "--volumes", "--timeout", "1")
        site.files = ("docker-compose.yml",)  # `down` removes images, but it must not remove PostgreSQL's
        site.down()


def write(site, name):
    return httpx.post(f"{site.url}/entries", json={"name": name, "message": "x"}, timeout=40)


def rows(site):
    return int(query(site, "SELECT count(*) FROM entry"))


def version(site):
    return query(site, "SELECT version_num FROM alembic_version").strip()


def query(site, sql, before="true"):
    """Return the output of a query, after a command of the shell in the database's container."""
    command = ["sh", "-c", f'{before}; psql --username=app --tuples-only --command="$0"', sql]
    ended = site.execute("postgres", *command)
    assert ended.returncode == 0, ended
    return ended.stdout


def ready(site):
    return httpx.get(f"{site.url}/readyz", timeout=40)


def test_migration_switch_and_rollback_lose_no_request(site):
    (site.root / "app/database/migrations/versions/0002_title.py").write_text(EXPAND)
    with load(site.url) as clients:
        site.make(RELEASE="two", BACKEND=other(site.backend))
        assert version(site) == "0002"
        assert write(site, "second").status_code == 201
        assert "a rollback does not run RELEASE_COMMAND" in site.make("rollback")
        assert write(site, "third").status_code == 201
    assert clients.outcomes() == {}
    assert rows(site) == 3
    now = site.inspect("postgres")
    assert (now["Id"], now["State"]["StartedAt"]) == (site.database["Id"], site.database["State"]["StartedAt"])
    assert (now["HostConfig"]["NetworkMode"], now["Config"]["User"]) == ("none", "999:999")


@pytest.mark.parametrize(("away", "back"), [("stop", "start"), ("pause", "unpause")])
def test_app_survives_while_the_database_is_away(away, back, site):
    before = site.inspect("app")["State"]["Pid"]
    site.compose(away, "postgres")
    try:
        until(lambda: ready(site).status_code == 503, "the site is not ready")
        assert ready(site).json()["checks"] == {"database": False}
        assert httpx.get(f"{site.url}/healthz").status_code == 200
        output = site.make("doctor", fails=True)
        assert "nginx answers /readyz with 503: these readiness checks fail: database" in output
        site.write(".env", site.env().replace(COMMAND, "true"))
        output = site.make(fails=True)
        assert re.search("did not start: it is running and unhealthy.*these readiness checks fail: database", output)
        time.sleep(35)  # longer than the health check waits
    finally:
        site.compose(back, "postgres")
        site.write(".env", site.env().replace("RELEASE_COMMAND=true", f"RELEASE_COMMAND={COMMAND}"))
    until(lambda: ready(site).status_code == 200, "the site is ready", 60)
    assert site.inspect("app")["State"]["Pid"] == before


def test_database_restarted_during_a_deploy_loses_no_row_and_no_other_request(site):
    before, kept = site.version()["release"], rows(site)
    with load(site.url) as clients, site.begin(RELEASE="restarted") as deploy:
        assert any("watching it" in line for line in deploy.stdout)
        site.compose("restart", "postgres")
        output, _ = deploy.communicate(timeout=120)
    assert clients.outcomes() == {}
    assert site.version()["release"] == (before if deploy.returncode else "restarted"), output
    until(lambda: ready(site).status_code == 200, "the site is ready", 60)
    assert rows(site) == kept


def test_full_database_refuses_rows_until_it_has_space(site):
    query(site, "CREATE TABLESPACE small LOCATION '/dev/shm/small'", before="mkdir -m 700 /dev/shm/small")
    query(site, "ALTER TABLE entry SET TABLESPACE small")
    query(site, "SELECT", before="cat /dev/zero >/dev/shm/full || true")
    before = rows(site)
    statuses = [write(site, "x" * 80).status_code for _ in range(100)]
    assert set(statuses) == {201, 500}
    assert httpx.get(site.url).status_code == ready(site).status_code == 200
    assert rows(site) == before + statuses.count(201)
    query(site, "ALTER TABLE entry SET TABLESPACE pg_default", before="rm /dev/shm/full")
    query(site, "DROP TABLESPACE small")
    assert write(site, "later").status_code == 201


def test_wrong_database_is_named_by_the_failed_release_command(site):
    overlay = site.root / "deploy" / "postgres" / "postgres.yml"
    text = overlay.read_text()
    overlay.write_text(text.replace("host=/run/postgresql", "host=/nowhere"))
    live = site.version()["release"]
    output = site.make(fails=True, RELEASE="astray")
    overlay.write_text(text)
    assert '"/nowhere/.s.PGSQL.5432" failed' in output
    assert "RELEASE_COMMAND failed, so that astray on" in output
    assert site.version()["release"] == live


def test_backup_and_restore_under_load_have_every_row(site):
    stopped = False

    def keep_writing():
        written = []
        while not stopped:
            written.append(write(site, "writer").status_code)
        return written

    with ThreadPoolExecutor() as pool:
        writing = pool.submit(keep_writing)
        before = rows(site)
        [path] = re.findall(r"wrote (backups/\S+\.dump)", site.make("backup"))
        after = rows(site)
        assert re.search(r"has 2 tables, whose rows a restore deletes", site.make("restore", fails=True, FILE=path))
        site.make("restore", FILE=path, CONFIRM="overwrite")
        stopped = True
        assert set(writing.result()) == {201}

    psql = ["exec", "--no-TTY", "postgres", "psql", "--username=app", "--dbname=app", "--command"]
    site.compose(*psql, "CREATE SCHEMA more; CREATE TABLE more.one ()")
    site.make("restore", FILE=path, CONFIRM="overwrite")
    assert "more" not in site.compose(*psql, "SELECT nspname FROM pg_namespace").stdout
    assert before <= rows(site) <= after
    content = (site.root / path).read_bytes()
    (site.root / "cut.dump").write_bytes(content[:-300])
    kept = rows(site)
    for name, reason in {"cut.dump": "end of file", "nowhere": "name a backup", "": "name a backup"}.items():
        assert reason in site.make("restore", fails=True, FILE=name, CONFIRM="overwrite")
    assert rows(site) == kept
